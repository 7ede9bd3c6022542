"""The in-flight table: what it keeps, how it survives being killed, how it is read again."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.streams.support import STARTED_US, admission, event_ids

from weir_core.errors import InvalidInputError
from weir_streams.admission import (
    ADMISSION_ROOM,
    IDENTITY_ROOM,
    SENDING_ROOM,
    IdentitySection,
    SendingSection,
    cut,
    encode_admission,
    encode_identity,
    encode_sending,
)
from weir_streams.errors import SlotError, SpoolFormatError, TooManyInFlightError
from weir_streams.inflight import FILE_NAME, InflightTable, Slot
from weir_streams.inflight_file import SLOT_BYTES, TABLE_HEADER_BYTES

LONG_TEXT = st.text(st.characters(), max_size=2000)


@pytest.fixture
def table(tmp_path: Path) -> InflightTable:
    return InflightTable.open(tmp_path, 8)


def admit(table: InflightTable, number: int = 1) -> Slot:
    return table.admit(admission(number), event_ids(number), first_seq=number * 10)


def mark_sending(slot: Slot, prompt_tokens: int = 100) -> None:
    slot.mark_sending(
        model="gpt", prompt_tokens=prompt_tokens, response_tokens=50, cost_nano=7, metered=True, stream=True
    )


def test_an_admitted_request_is_found_after_a_crash(tmp_path: Path, table: InflightTable) -> None:
    admit(table)
    ((orphan,), unreadable) = InflightTable.open(tmp_path, 8).orphans()
    assert unreadable == []
    assert orphan.admitted.request_id == "request-1"
    assert orphan.admitted.event_ids == event_ids(1)
    assert (orphan.admitted.started_us, orphan.admitted.first_seq) == (STARTED_US, 10)
    assert (orphan.admitted.llm_id, orphan.admitted.path) == (3, "/v1/chat/completions")
    assert orphan.identity is None
    assert orphan.sending is None


def test_what_became_known_later_is_found_too(tmp_path: Path, table: InflightTable) -> None:
    slot = admit(table)
    slot.identify(7, "ann", 9)
    mark_sending(slot)
    ((orphan,), _) = InflightTable.open(tmp_path, 8).orphans()
    assert orphan.identity == IdentitySection(7, "ann", 9)
    assert orphan.sending == SendingSection("gpt", 100, 50, 7, metered=True, stream=True)


def test_the_latest_identity_and_attempt_count(tmp_path: Path, table: InflightTable) -> None:
    slot = admit(table)
    for number in range(1, 6):
        slot.identify(number, None, None)
        mark_sending(slot, prompt_tokens=number)
        ((orphan,), _) = InflightTable.open(tmp_path, 8).orphans()
        assert orphan.identity == IdentitySection(number, None, None)
        assert orphan.sending is not None
        assert orphan.sending.prompt_tokens == number


def test_a_released_slot_leaves_nothing_and_can_be_taken_again(tmp_path: Path, table: InflightTable) -> None:
    for number in range(20):
        admit(table, number).release()
    assert table.taken == 0
    assert InflightTable.open(tmp_path, 8).orphans() == ([], [])


def test_a_reused_slot_does_not_show_what_its_last_request_knew(tmp_path: Path, table: InflightTable) -> None:
    first = admit(table, 1)
    first.identify(7, "ann", 9)
    mark_sending(first)
    first.release()
    admit(table, 2)
    ((orphan,), _) = InflightTable.open(tmp_path, 8).orphans()
    assert (orphan.identity, orphan.sending) == (None, None)


def test_the_ninth_of_eight_is_refused(table: InflightTable) -> None:
    for number in range(8):
        admit(table, number)
    with pytest.raises(TooManyInFlightError, match="max_in_flight"):
        admit(table, 9)


def test_a_slot_cannot_be_used_after_its_end(table: InflightTable) -> None:
    slot = admit(table)
    slot.release()
    for use in (slot.release, slot.end, lambda: slot.identify(1, None, None), lambda: mark_sending(slot)):
        with pytest.raises(SlotError, match="request-1"):
            use()


def test_orphans_come_oldest_first(tmp_path: Path, table: InflightTable) -> None:
    for number in (5, 2, 9, 1):
        admit(table, number)
    orphans, _ = InflightTable.open(tmp_path, 8).orphans()
    assert [orphan.admitted.first_seq for orphan in orphans] == [10, 20, 50, 90]


@given(at=st.integers(0, 7), new=st.binary(min_size=1, max_size=100))
def test_a_kill_while_an_attempt_is_noted_again_leaves_the_one_before(
    tmp_path_factory: pytest.TempPathFactory, at: int, new: bytes
) -> None:
    directory = tmp_path_factory.mktemp("table")
    table = InflightTable.open(directory, 2)
    slot = admit(table)
    mark_sending(slot, prompt_tokens=1)
    # The second copy's bytes are stored, the state byte is not: that is all a kill can leave.
    with (directory / FILE_NAME).open("r+b") as file:
        file.seek(TABLE_HEADER_BYTES + slot.number * SLOT_BYTES + 920 + at)
        file.write(new[: SLOT_BYTES - 920 - at])
    ((orphan,), _) = InflightTable.open(directory, 2).orphans()
    assert orphan.sending is not None
    assert orphan.sending.prompt_tokens == 1


def test_a_request_that_was_sent_stays_sent_when_its_estimate_rots(
    tmp_path: Path, table: InflightTable
) -> None:
    slot = admit(table)
    mark_sending(slot)
    with (tmp_path / FILE_NAME).open("r+b") as file:
        file.seek(TABLE_HEADER_BYTES + slot.number * SLOT_BYTES + 816 + 10)
        file.write(b"rot")
    ((orphan,), _) = InflightTable.open(tmp_path, 8).orphans()
    assert orphan.sending == SendingSection(None, 0, 0, None, metered=True, stream=None)


def test_a_slot_whose_admission_rots_is_named(tmp_path: Path, table: InflightTable) -> None:
    slot = admit(table)
    with (tmp_path / FILE_NAME).open("r+b") as file:
        file.seek(TABLE_HEADER_BYTES + slot.number * SLOT_BYTES + 20)
        file.write(b"rot")
    assert InflightTable.open(tmp_path, 8).orphans() == ([], [slot.number])


def test_a_file_that_is_no_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"x" * 10_000)
    with pytest.raises(SpoolFormatError):
        InflightTable.open(tmp_path, 8)


def test_an_empty_table_takes_another_number_of_slots(tmp_path: Path, table: InflightTable) -> None:
    table.resize(3)
    assert (table.slots, table.taken) == (3, 0)
    for number in range(3):
        admit(table, number)
    assert InflightTable.open(tmp_path, 99).slots == 3


@given(LONG_TEXT, LONG_TEXT, LONG_TEXT, LONG_TEXT)
def test_texts_of_any_length_fit_into_a_slot(path: str, slug: str, client_id: str, edge: str) -> None:
    long = admission(path=path, llm_slug=slug, client_request_id=client_id, edge_id=edge, trace_id=edge)
    assert len(encode_admission(long, event_ids(), 2**63)) <= ADMISSION_ROOM
    assert len(encode_identity(2**32, path, 2**32)) <= IDENTITY_ROOM
    assert len(encode_sending(slug, 2**62, 2**62, 2**62, metered=True, stream=None)) <= SENDING_ROOM


def test_a_request_id_is_never_shortened() -> None:
    with pytest.raises(InvalidInputError, match="request id"):
        encode_admission(admission(request_id="r" * 700), event_ids(), 1)


@given(LONG_TEXT, st.integers(0, 100))
def test_cutting_never_splits_a_character(text: str, most_bytes: int) -> None:
    kept = cut(text, most_bytes)
    assert len(kept.encode()) <= most_bytes
    assert text.encode("utf-8", "replace").decode().startswith(kept)
