"""The spool as the data plane sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from tests.streams.support import (
    SMALL,
    RecordingLogger,
    admission,
    all_events,
    append,
    file_size_limit,
    finished_call,
    open_spool,
)

from weir_streams.errors import (
    FamilyError,
    SlotError,
    SpoolClosedError,
    SpoolFullError,
    SpoolWriteError,
    TooManyInFlightError,
)
from weir_streams.home import spool_directories
from weir_streams.settings import MIB, SpoolSettings
from weir_streams.spool import Spool

pytestmark = pytest.mark.usefixtures("no_keeper")
ALWAYS = msgspec.structs.replace(SMALL, sync="always")


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = open_spool(tmp_path)
    yield spool
    spool.close()


def test_an_appended_family_is_there_and_its_slot_is_free(tmp_path: Path, spool: Spool) -> None:
    slot = spool.admit(admission())
    assert spool.in_flight == 1
    seq = spool.append(slot, finished_call(1, slot.event_ids))
    assert spool.in_flight == 0
    assert seq == 3
    assert spool.next_seq == 4
    assert [(event["spool_id"], event["spool_seq"]) for event in all_events(tmp_path)] == [
        (spool.id, 1),
        (spool.id, 2),
        (spool.id, 3),
    ]


def test_event_ids_are_made_at_admission_and_never_twice(spool: Spool) -> None:
    ids = [spool.admit(admission(number)).event_ids for number in range(10)]
    assert len({each for three in ids for each in three}) == 30


def test_a_family_is_appended_once(spool: Spool) -> None:
    slot = spool.admit(admission())
    spool.append(slot, finished_call(1, slot.event_ids))
    with pytest.raises(SlotError):
        spool.append(slot, finished_call(1, slot.event_ids))


def test_a_released_slot_leaves_no_event(tmp_path: Path, spool: Spool) -> None:
    spool.admit(admission()).release()
    assert spool.in_flight == 0
    assert all_events(tmp_path) == []


def test_more_requests_than_slots_are_refused(spool: Spool) -> None:
    slots = [spool.admit(admission(number)) for number in range(SMALL.slots)]
    with pytest.raises(TooManyInFlightError):
        spool.admit(admission(99))
    slots[0].release()
    spool.admit(admission(99))


def test_a_closed_spool_admits_and_writes_nothing(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    slot = spool.admit(admission())
    spool.close()
    spool.close()
    with pytest.raises(SpoolClosedError):
        spool.admit(admission())
    with pytest.raises(SpoolClosedError):
        spool.append(slot, finished_call(1, slot.event_ids))
    open_spool(tmp_path).close()
    assert [event["outcome"] for event in all_events(tmp_path)] == ["gateway_error"]


def test_a_closed_directory_is_gone_on_in(tmp_path: Path) -> None:
    first = open_spool(tmp_path)
    append(first, 1)
    first.close()
    second = open_spool(tmp_path)
    append(second, 2)
    second.close()
    assert first.id == second.id
    assert [event["request_id"] for event in all_events(tmp_path)] == ["request-1"] * 3 + ["request-2"] * 3


def test_a_directory_whose_owner_lives_is_left_alone(tmp_path: Path, spool: Spool) -> None:
    other = open_spool(tmp_path)
    assert other.id != spool.id
    append(spool, 1)
    append(other, 2)
    assert len(all_events(tmp_path)) == 6
    other.close()


def test_nothing_but_the_owner_may_read_the_spool(tmp_path: Path, spool: Spool) -> None:
    append(spool, 1)
    (directory,) = spool_directories(tmp_path)
    assert directory.stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in directory.iterdir())


def test_an_event_is_never_larger_than_a_mebibyte(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, SpoolSettings(segment_bytes=8 * MIB))
    append(spool, 1, request_body="x" * 900_000)
    append(spool, 2, request_body="\x00" * 300_000)
    spool.close()
    first, second = (event for event in all_events(tmp_path) if "response_code" in event)
    assert len(first["request_body"]) == 900_000
    assert (second["request_body"], second["request_body_truncated"]) == (None, True)


def test_what_a_plugin_put_into_metadata_cannot_lose_the_event(tmp_path: Path, spool: Spool) -> None:
    append(spool, 1, metadata={"odd": object()})
    assert all_events(tmp_path)[0]["metadata"] == {"weir_truncated": True}


def test_a_family_that_cannot_be_encoded_is_recovered_from_its_slot(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    slot = spool.admit(admission())
    with pytest.raises(FamilyError):
        spool.append(slot, finished_call(1, slot.event_ids, response_code=object()))
    assert spool.in_flight == 1
    spool.close()
    open_spool(tmp_path).close()
    assert [event["outcome"] for event in all_events(tmp_path)] == ["gateway_error"]


def test_families_that_the_disk_refused_are_written_when_it_is_back(tmp_path: Path) -> None:
    logger = RecordingLogger()
    spool = open_spool(tmp_path, logger=logger)
    append(spool, 1)
    slots = [spool.admit(admission(number)) for number in (2, 3)]
    with file_size_limit(64):
        for number, slot in zip((2, 3), slots, strict=True):
            with pytest.raises(SpoolWriteError, match="again"):
                spool.append(slot, finished_call(number, slot.event_ids))
        assert not spool.healthy
        assert "refused" in spool.reason
        assert spool.in_flight == 2
        with pytest.raises(SpoolFullError, match="refused"):
            spool.admit(admission(4))
    spool._keeper.tick()
    assert spool.healthy
    assert spool.in_flight == 0
    append(spool, 5)
    spool.close()
    assert [event["request_id"] for event in all_events(tmp_path)][::3] == [
        f"request-{number}" for number in (1, 2, 3, 5)
    ]
    assert len(logger.named("spool write failed")) == 1


def test_families_that_the_disk_refused_are_recovered_if_the_process_dies_first(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    append(spool, 1)
    slot = spool.admit(admission(2))
    with file_size_limit(64), pytest.raises(SpoolWriteError):
        spool.append(slot, finished_call(2, slot.event_ids))
    spool._syncer.stop()
    spool._owned.close()
    open_spool(tmp_path).close()
    assert [event["outcome"] for event in all_events(tmp_path) if "response_code" in event] == [
        "served",
        "gateway_error",
    ]


async def test_always_waits_for_the_disk_and_only_then_frees_the_slot(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, ALWAYS)
    slots = [spool.admit(admission(number)) for number in range(20)]
    seqs = [spool.append(slot, finished_call(number, slot.event_ids)) for number, slot in enumerate(slots)]
    await asyncio.gather(*(spool.synced(seq) for seq in seqs))
    assert spool.in_flight == 0
    await spool.synced(seqs[0])
    spool.close()


async def test_always_says_when_the_disk_refuses_and_recovers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = open_spool(tmp_path, ALWAYS)
    slot = spool.admit(admission())
    monkeypatch.setattr("os.fdatasync", _refuse)
    seq = spool.append(slot, finished_call(1, slot.event_ids))
    with pytest.raises(SpoolWriteError, match="sync"):
        await spool.synced(seq)
    assert not spool.healthy
    assert spool.in_flight == 1
    with pytest.raises(SpoolFullError):
        spool.admit(admission(2))
    monkeypatch.undo()
    spool._syncer.sync_once()
    assert spool.healthy
    assert spool.in_flight == 0
    spool.close()
    assert len(all_events(tmp_path)) == 3


def test_a_slot_that_was_not_synced_is_recovered_or_found_but_never_lost(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, ALWAYS)
    spool._syncer.stop()
    slot = spool.admit(admission())
    spool.append(slot, finished_call(1, slot.event_ids))
    assert spool.in_flight == 1
    spool._owned.close()
    open_spool(tmp_path).close()
    assert [event["outcome"] for event in all_events(tmp_path) if "response_code" in event] == ["served"]


def test_a_spool_that_was_deleted_under_the_process_takes_no_more_requests(
    tmp_path: Path, spool: Spool
) -> None:
    append(spool, 1)
    for segment in tmp_path.rglob("*.seg"):
        segment.unlink()
    append(spool, 2)
    spool._syncer.sync_once()
    with pytest.raises(SpoolFullError, match="deleted"):
        spool.admit(admission())


def _refuse(_: int) -> None:
    raise OSError(5, "Input/output error")
