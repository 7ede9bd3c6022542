"""What a new owner does to a directory before it writes: find the true end, mend what stands before it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from weir_core.clock import Clock
from weir_streams.durable import write_all
from weir_streams.reports import Damage
from weir_streams.segment import (
    RECORD_HEADER_BYTES,
    SEAL,
    SEGMENT_HEADER_BYTES,
    Record,
    SegmentHeader,
    decode_record,
    decode_segment_header,
    encode_gap,
    encode_record,
    encode_segment_header,
    segment_name,
)
from weir_streams.segment_files import SegmentFiles
from weir_streams.segment_reader import SegmentReader, Stop
from weir_streams.writer import OpenSegment, SegmentWriter

# A power cut may take records that a consumer has read and committed. Each owner starts on a fresh multiple
# of this, so that no number is ever given twice and no committed offset can hide a new record.
SEQ_STEP: Final = 1 << 24

_PIECE: Final = 1024 * 1024


def resume_writer(
    files: SegmentFiles, clock: Clock, report: Callable[[Damage], None], beyond_seq: int = 0
) -> SegmentWriter:
    """Mend the directory's segments and go on behind the last intact record. Blocks; reads unsealed segments.

    Safe to be killed at any point and run again.

    Args:
        files: A locked directory's files.
        clock: Stamps what is written.
        report: Called for every stretch in the middle that holds no records any more.
        beyond_seq: A sequence number that is known to have been given, from elsewhere.

    Raises:
        OSError: The disk refused.
        SpoolFormatError: A segment was written by a newer release.
    """
    bases = files.bases()
    next_seq, current = beyond_seq, None
    for base in bases:
        path = files.directory / segment_name(base)
        sealed_at = _sealed_at(path)
        if sealed_at is None:
            sealed_at, current = _mend(path, base, clock, report, last=base == bases[-1])
        next_seq = max(next_seq, base, sealed_at)
    if next_seq:
        next_seq = (next_seq // SEQ_STEP + 1) * SEQ_STEP
    return SegmentWriter(files, clock, max(1, next_seq), current)


def end_of(directory: Path, base_seq: int) -> int | None:
    """The lowest number behind a sealed segment, None when it is not sealed."""
    return _sealed_at(directory / segment_name(base_seq))


def _sealed_at(path: Path) -> int | None:
    """A sealed segment was cut to its length, so its last bytes are its seal."""
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        if file.tell() < SEGMENT_HEADER_BYTES + RECORD_HEADER_BYTES:
            return None
        file.seek(-RECORD_HEADER_BYTES, os.SEEK_END)
        record = decode_record(file.read())
    return record.seq if isinstance(record, Record) and record.kind == SEAL else None


def _mend(
    path: Path, base: int, clock: Clock, report: Callable[[Damage], None], *, last: bool
) -> tuple[int, OpenSegment | None]:
    """Mend an unsealed segment; return its next number and, when records can follow, the segment itself."""
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        _mend_header(fd, SegmentHeader(path.parent.name, base, clock.wall_us()))
        position, next_seq, sealed = _find_end(fd, path, base, clock, report)
        if last and not sealed:
            _blank(fd, position)
            return next_seq, OpenSegment(fd, base, position, os.fstat(fd).st_size)
        if not sealed:
            write_all(fd, encode_record(SEAL, next_seq, clock.wall_us()), position)
        os.ftruncate(fd, position + RECORD_HEADER_BYTES)
        os.fsync(fd)
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return next_seq, None


def _mend_header(fd: int, header: SegmentHeader) -> None:
    """A power cut can keep a segment's name and lose its first bytes; all they say is known."""
    if decode_segment_header(os.pread(fd, SEGMENT_HEADER_BYTES, 0)) is None:
        write_all(fd, encode_segment_header(header), 0)


def _find_end(
    fd: int, path: Path, base: int, clock: Clock, report: Callable[[Damage], None]
) -> tuple[int, int, bool]:
    """Position, next sequence number and whether a seal stands there; marks lost stretches on the way."""
    reader = SegmentReader(path.parent, base)
    try:
        while True:
            _, stop = reader.read(_PIECE, lambda _at, _gap: None)
            if stop is Stop.SEALED:
                return reader.position, reader.next_seq, True
            if stop is Stop.MORE:
                continue
            found = reader.find_next()
            if found is None:
                return reader.position, reader.next_seq, False
            _bridge(fd, reader, found, clock, report)
    finally:
        reader.close()


def _bridge(
    fd: int, reader: SegmentReader, found: tuple[int, Record], clock: Clock, report: Callable[[Damage], None]
) -> None:
    """Lead readers over a stretch that a power cut took: where it is zeros they would take it for the end."""
    position, record = found
    size = position - reader.position
    if size >= RECORD_HEADER_BYTES:
        write_all(fd, encode_gap(size, record.seq, clock.wall_us()), reader.position)
    report(
        Damage(
            spool_id=reader.path.parent.name,
            segment=reader.path.name,
            offset=reader.position,
            length=size,
            first_missing=reader.next_seq,
            resumed_at=record.seq,
            reason="lost before a recovery",
        )
    )
    reader.position = position


def _blank(fd: int, position: int) -> None:
    """Zero a torn record and whatever else stands behind the last intact one."""
    size = os.fstat(fd).st_size
    zeros = bytes(_PIECE)
    while position < size:
        piece = os.pread(fd, _PIECE, position)
        if piece != zeros[: len(piece)]:
            write_all(fd, zeros[: len(piece)], position)
        position += len(piece)
