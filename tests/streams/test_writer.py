"""Appending records, rolling from segment to segment, and the arithmetic of room."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.streams.support import (
    SMALL,
    SPOOL_ID,
    ManualClock,
    family_record,
    file_size_limit,
    read_all,
    request_ids,
)

from weir_streams.errors import SpoolFullError
from weir_streams.repair import end_of
from weir_streams.segment import SEGMENT_HEADER_BYTES
from weir_streams.segment_files import SEGMENT_OVERHEAD, SegmentFiles
from weir_streams.settings import KIB, SpoolSettings
from weir_streams.syncing import sync_writer
from weir_streams.writer import SegmentWriter

RESERVE = 16 * KIB


@pytest.fixture
def files(tmp_path: Path) -> SegmentFiles:
    directory = tmp_path / SPOOL_ID
    directory.mkdir()
    return SegmentFiles(directory, SMALL)


@pytest.fixture
def writer(files: SegmentFiles) -> SegmentWriter:
    return SegmentWriter(files, ManualClock(), 1)


def write_sized(writer: SegmentWriter, number: int, size: int) -> None:
    """Write a family's record of exactly ``size`` bytes."""
    empty = len(family_record(number, writer.next_seq, response_body=""))
    body = "x" * (size - empty)
    writer.write(family_record(number, writer.next_seq, response_body=body), 3)


def test_records_are_written_one_behind_the_other(writer: SegmentWriter) -> None:
    writer.files.allocate()
    for number in range(5):
        writer.write(family_record(number, writer.next_seq), 3)
    assert request_ids(read_all(writer.files.directory)) == [f"request-{number}" for number in range(5)]
    assert writer.next_seq == 16


def test_a_full_segment_is_sealed_and_cut_to_its_length(writer: SegmentWriter) -> None:
    for _ in range(3):
        writer.files.allocate()
    for number in range(20):
        write_sized(writer, number, 10 * KIB)
    sync_writer(writer)
    directory = writer.files.directory
    bases = writer.files.bases()
    assert len(bases) == 2
    assert end_of(directory, bases[0]) == bases[1]
    assert (directory / f"{bases[0]:020d}.seg").stat().st_size < SMALL.segment_bytes
    assert len(read_all(directory)) == 20


def test_without_an_allocated_segment_nothing_is_written(writer: SegmentWriter) -> None:
    with pytest.raises(SpoolFullError):
        writer.write(family_record(1, 1), 3)
    assert writer.files.bases() == []


def test_a_record_larger_than_a_segment_is_refused_before_anything_is_sealed(writer: SegmentWriter) -> None:
    writer.files.allocate()
    writer.files.allocate()
    writer.write(family_record(1, 1), 3)
    with pytest.raises(SpoolFullError):
        write_sized(writer, 2, 200 * KIB)
    writer.write(family_record(3, writer.next_seq), 3)
    assert len(writer.files.bases()) == 1


def test_a_finished_writer_leaves_no_empty_segment(writer: SegmentWriter) -> None:
    writer.files.allocate()
    writer.files.allocate()
    writer.write(family_record(1, 1), 3)
    writer.seal()
    writer.write(family_record(2, writer.next_seq), 3)
    writer.finish()
    sync_writer(writer)
    assert len(writer.files.bases()) == 2
    writer.finish()
    assert len(read_all(writer.files.directory)) == 2


@settings(max_examples=60, deadline=None)
@given(
    segments=st.integers(1, 3),
    before=st.lists(st.integers(3 * KIB, 60 * KIB), max_size=4),
    sizes=st.lists(st.integers(3 * KIB, RESERVE), min_size=40, max_size=40),
)
def test_the_room_that_is_promised_is_there_whatever_the_sizes(
    tmp_path_factory: pytest.TempPathFactory, segments: int, before: list[int], sizes: list[int]
) -> None:
    directory = tmp_path_factory.mktemp("room") / SPOOL_ID
    directory.mkdir()
    writer = SegmentWriter(SegmentFiles(directory, SMALL), ManualClock(), 1)
    for _ in range(segments):
        writer.files.allocate()
    for number, size in enumerate(before):
        if writer.room_after(size, RESERVE) >= 0:
            write_sized(writer, number, size)
    promised = writer.room_beyond(RESERVE) // RESERVE
    for number, size in enumerate(sizes[:promised]):
        assert writer.room_after(size, RESERVE) >= (promised - number - 1) * RESERVE
        write_sized(writer, number, size)
    writer.abandon()


def test_what_the_last_owner_had_allocated_is_taken_over(files: SegmentFiles) -> None:
    files.allocate()
    again = SegmentFiles(files.directory, SMALL)
    assert again.spares == 1
    assert again.next_room == SMALL.segment_bytes - SEGMENT_OVERHEAD


def test_an_allocation_that_a_kill_cut_short_is_removed(files: SegmentFiles) -> None:
    (files.directory / "abcd.new").write_bytes(b"half")
    assert SegmentFiles(files.directory, SMALL).spares == 0
    assert list(files.directory.iterdir()) == []


def test_the_cap_refuses_one_segment_too_many(tmp_path: Path) -> None:
    directory = tmp_path / SPOOL_ID
    directory.mkdir()
    files = SegmentFiles(
        directory, SpoolSettings(segment_bytes=128 * KIB, slot_reserve_bytes=RESERVE, max_bytes=1024 * KIB)
    )
    for _ in range(8):
        files.allocate()
    with pytest.raises(SpoolFullError, match="max_bytes"):
        files.allocate()


def test_segments_are_smaller_where_the_cap_is_small(tmp_path: Path) -> None:
    files = SegmentFiles(tmp_path, SpoolSettings(max_bytes=16 * 1024 * KIB))
    assert files.segment_bytes == 2 * 1024 * KIB


def test_a_scrub_takes_away_what_a_failed_record_left(writer: SegmentWriter) -> None:
    writer.files.allocate()
    writer.write(family_record(1, 1), 3)
    path = next(writer.files.directory.glob("*.seg"))
    end = SEGMENT_HEADER_BYTES + len(family_record(1, 1))
    with file_size_limit(end + 100), pytest.raises(OSError, match="large"):
        writer.write(family_record(2, writer.next_seq), 3)
    assert path.read_bytes()[end : end + 100].strip(b"\0")
    writer.scrub()
    assert not path.read_bytes()[end:].strip(b"\0")
    writer.write(family_record(2, writer.next_seq), 3)
    assert request_ids(read_all(writer.files.directory)) == ["request-1", "request-2"]
