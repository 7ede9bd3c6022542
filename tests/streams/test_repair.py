"""What a new owner does to the segments of a process that died, or of a machine that lost power."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.streams.support import (
    SMALL,
    SPOOL_ID,
    STARTED_US,
    ManualClock,
    family_record,
    read_all,
    request_ids,
)

from weir_streams.repair import SEQ_STEP, end_of, resume_writer
from weir_streams.reports import Damage
from weir_streams.segment import (
    SEAL,
    SEGMENT_HEADER_BYTES,
    SegmentHeader,
    decode_segment_header,
    encode_record,
    encode_segment_header,
    segment_name,
)
from weir_streams.segment_files import SegmentFiles
from weir_streams.syncing import sync_writer
from weir_streams.writer import SegmentWriter


def header(base_seq: int = 1) -> bytes:
    return encode_segment_header(SegmentHeader(SPOOL_ID, base_seq, STARTED_US))


def write_segment(directory: Path, data: bytes, base_seq: int = 1, size: int = SMALL.segment_bytes) -> Path:
    directory.mkdir(exist_ok=True)
    path = directory / segment_name(base_seq)
    path.write_bytes(data.ljust(size, b"\0"))
    return path


def resume(directory: Path, damages: list[Damage] | None = None) -> SegmentWriter:
    report = (damages if damages is not None else []).append
    return resume_writer(SegmentFiles(directory, SMALL), ManualClock(), report)


def wanted(*numbers: int) -> list[str]:
    return [f"request-{number}" for number in numbers]


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / SPOOL_ID


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_torn_tail_is_cut_and_writing_goes_on_behind_the_last_intact_family(data: st.DataObject) -> None:
    records = [family_record(number, 1 + 3 * number) for number in range(3)]
    whole = header() + b"".join(records)
    cut = data.draw(st.integers(SEGMENT_HEADER_BYTES, len(whole) - 1))
    ends = [SEGMENT_HEADER_BYTES + sum(map(len, records[: count + 1])) for count in range(3)]
    intact = sum(end <= cut for end in ends)
    with tempfile.TemporaryDirectory() as root:
        directory = Path(root) / SPOOL_ID
        write_segment(directory, whole[:cut])
        damages: list[Damage] = []
        writer = resume(directory, damages)
        writer.write(family_record(9, writer.next_seq), 3)
        writer.abandon()
        assert request_ids(read_all(directory)) == wanted(*range(intact), 9)
        assert damages == []


def test_numbers_are_never_given_twice_even_if_a_power_cut_took_records(spool: Path) -> None:
    write_segment(spool, header() + family_record(0, 1))
    first = resume(spool)
    first.abandon()
    second = resume(spool)
    assert first.next_seq == SEQ_STEP
    assert second.next_seq == SEQ_STEP
    second.write(family_record(1, second.next_seq), 3)
    second.abandon()
    third = resume(spool)
    assert third.next_seq == 2 * SEQ_STEP
    third.abandon()


def test_families_behind_a_hole_that_a_power_cut_left_are_kept(spool: Path) -> None:
    records = [family_record(number, 1 + 3 * number) for number in range(4)]
    hole = bytes(len(records[1]) + len(records[2]))
    write_segment(spool, header() + records[0] + hole + records[3])
    damages: list[Damage] = []
    writer = resume(spool, damages)
    writer.write(family_record(9, writer.next_seq), 3)
    writer.abandon()
    seen: list[Damage] = []
    assert request_ids(read_all(spool, seen)) == wanted(0, 3, 9)
    assert [(damage.first_missing, damage.resumed_at) for damage in damages] == [(4, 10)]
    assert [(damage.first_missing, damage.resumed_at) for damage in seen] == [(4, 10)]


def test_mending_twice_changes_nothing_more(spool: Path) -> None:
    records = [family_record(number, 1 + 3 * number) for number in range(3)]
    path = write_segment(spool, header() + records[0] + bytes(len(records[1])) + records[2] + b"torn")
    resume(spool).abandon()
    mended = path.read_bytes()
    again: list[Damage] = []
    resume(spool, again).abandon()
    assert path.read_bytes() == mended
    assert again == []


def test_a_header_that_a_power_cut_took_is_written_again(spool: Path) -> None:
    write_segment(spool, bytes(SEGMENT_HEADER_BYTES) + family_record(0, 1))
    resume(spool).abandon()
    found = decode_segment_header((spool / segment_name(1)).read_bytes())
    assert found is not None
    assert (found.spool_id, found.base_seq) == (SPOOL_ID, 1)
    assert request_ids(read_all(spool)) == wanted(0)


def test_an_earlier_segment_without_a_seal_is_sealed(spool: Path) -> None:
    write_segment(spool, header() + family_record(0, 1))
    write_segment(spool, header(4) + family_record(1, 4), base_seq=4)
    resume(spool).abandon()
    assert end_of(spool, 1) == 4
    assert end_of(spool, 4) is None
    assert request_ids(read_all(spool)) == wanted(0, 1)


def test_a_seal_before_a_preallocated_rest_is_found_and_the_rest_given_back(spool: Path) -> None:
    path = write_segment(spool, header() + family_record(0, 1) + encode_record(SEAL, 4, STARTED_US))
    writer = resume(spool)
    assert end_of(spool, 1) == 4
    assert path.stat().st_size < SMALL.segment_bytes
    writer.files.allocate()
    writer.write(family_record(1, writer.next_seq), 3)
    assert writer.files.bases() == [1, SEQ_STEP]
    writer.abandon()


def test_a_fresh_directory_starts_at_one(spool: Path) -> None:
    spool.mkdir()
    assert resume(spool).next_seq == 1


def test_a_segment_left_empty_is_gone_on_in(spool: Path) -> None:
    write_segment(spool, header())
    writer = resume(spool)
    writer.write(family_record(0, writer.next_seq), 3)
    sync_writer(writer)
    writer.abandon()
    assert request_ids(read_all(spool)) == wanted(0)
