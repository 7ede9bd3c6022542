"""Getting what was written onto the platter."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.streams.support import SMALL, SPOOL_ID, ManualClock, RecordingLogger, family_record, read_all

from weir_streams.inflight import InflightTable
from weir_streams.segment_files import SegmentFiles
from weir_streams.syncing import Syncer, sync_writer
from weir_streams.writer import SegmentWriter


@pytest.fixture
def writer(tmp_path: Path) -> SegmentWriter:
    directory = tmp_path / SPOOL_ID
    directory.mkdir()
    files = SegmentFiles(directory, SMALL)
    for _ in range(3):
        files.allocate()
    return SegmentWriter(files, ManualClock(), 1)


def write(writer: SegmentWriter, count: int, size: int = 10_000) -> None:
    for number in range(count):
        writer.write(family_record(number, writer.next_seq, response_body="x" * size), 3)


def test_a_sync_reaches_everything_written_so_far_over_all_segments(
    writer: SegmentWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    write(writer, 30)
    assert sync_writer(writer) == 91
    assert len(synced) == len(writer.files.bases()) == 3
    write(writer, 1, size=1)
    assert sync_writer(writer) == 94
    assert len(synced) == 4


def test_what_a_failed_sync_may_have_dropped_is_written_again(
    writer: SegmentWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(writer, 2)
    sync_writer(writer)
    write(writer, 1)
    monkeypatch.setattr(os, "fdatasync", _refuse)
    with pytest.raises(OSError, match="Input/output"):
        sync_writer(writer)
    monkeypatch.undo()
    rewritten: list[int] = []
    real = os.pwrite

    def pwrite(fd: int, data: bytes, offset: int) -> int:
        rewritten.append(len(data))
        return real(fd, data, offset)

    monkeypatch.setattr(os, "pwrite", pwrite)
    assert sync_writer(writer) == 10
    assert rewritten == [len(family_record(0, 7, response_body="x" * 10_000))]
    sync_writer(writer)
    assert len(rewritten) == 1
    assert len(read_all(writer.files.directory)) == 3


def test_the_table_follows_the_segments(writer: SegmentWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    table = InflightTable.open(writer.files.directory, 4)
    order: list[str] = []

    def sync_segments(writer: SegmentWriter) -> int:
        order.append("segments")
        return writer.next_seq

    monkeypatch.setattr("weir_streams.syncing.sync_writer", sync_segments)
    monkeypatch.setattr(table, "sync", lambda: order.append("table"))
    table.dirty = True
    reached: list[int] = []
    syncer = Syncer(writer, table, 60, reached.append, RecordingLogger())
    syncer.sync_once()
    assert order == ["table"]
    write(writer, 1)
    syncer.sync_once()
    assert order == ["table", "segments", "table"]
    assert reached == [4]


def _refuse(_: int) -> None:
    raise OSError(5, "Input/output error")
