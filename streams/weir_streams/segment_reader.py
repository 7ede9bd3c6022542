"""Reading one segment file: records in order, and the way behind a place that is damaged."""

from __future__ import annotations

import copy
import enum
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from weir_streams.pieces import Piece, Pieces
from weir_streams.segment import (
    GAP,
    RECORD_MAGIC,
    SEAL,
    SEGMENT_HEADER_BYTES,
    WITH_EVENTS,
    Blank,
    Record,
    Unfinished,
    Unreadable,
    decode_record,
    decode_segment_header,
    segment_name,
)

_SEARCH_BYTES: Final = 1024 * 1024
# At the live end a read is mostly preallocated zeros, so reads start small and grow while there is more.
_SMALL_READ_BYTES: Final = 16 * 1024
_HEAD_BYTES: Final = 4096


class Stop(enum.Enum):
    """Why a read of a segment ended where it did."""

    MORE = "more may be read at once"
    BLANK = "nothing has been written here so far"
    UNREADABLE = "what stands here is not, or not yet, a record"
    SEALED = "the segment is complete"


class SegmentReader:
    """One segment, from its first record on.

    Args:
        directory: The spool's.
        base_seq: The segment's first sequence number.
        pieces: What others have read, and where they find what this one reads.

    Raises:
        FileNotFoundError: The segment is gone.
        SpoolFormatError: It was written by a newer release.
    """

    def __init__(self, directory: Path, base_seq: int, pieces: Pieces | None = None) -> None:
        self.base_seq = base_seq
        self.path = directory / segment_name(base_seq)
        self.position = SEGMENT_HEADER_BYTES
        self.next_seq = base_seq
        self._pieces = pieces
        self._appetite = _SMALL_READ_BYTES
        self._fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            decode_segment_header(os.pread(self._fd, SEGMENT_HEADER_BYTES, 0))
        except BaseException:
            os.close(self._fd)
            raise

    @property
    def size(self) -> int:
        """Bytes of the file, its preallocated rest included."""
        return os.fstat(self._fd).st_size

    def read(
        self, most_bytes: int, on_gap: Callable[[int, Record], None], *, skim: bool = False
    ) -> tuple[list[Record], Stop]:
        """The families from here on, out of about ``most_bytes`` (always at least one whole record).

        ``on_gap`` gets the place and record of each gap that an earlier recovery left; ``skim`` is that of
        ``decode_record``.
        """
        if self._pieces is None:
            return self._read(most_bytes, on_gap, skim)
        start = self.position
        known = self._pieces.get(self.path, start)
        if known is not None:
            self.position, self.next_seq = known.end, known.next_seq
            return list(known.records), Stop.MORE
        records, stop = self._read(most_bytes, on_gap, skim)
        # What is between the records, a gap, is for every reader to find.
        if records and sum(record.size for record in records) == self.position - start:
            self._pieces.put(self.path, start, Piece(records, self.position, self.next_seq))
        return records, stop

    def _read(
        self, most_bytes: int, on_gap: Callable[[int, Record], None], skim: bool
    ) -> tuple[list[Record], Stop]:
        data = os.pread(self._fd, min(most_bytes, self._appetite), self.position)
        records: list[Record] = []
        at = 0
        stop = Stop.MORE
        while stop is Stop.MORE:
            found = decode_record(data, at, skim=skim)
            if isinstance(found, Record):
                if found.seq < self.next_seq:
                    stop = Stop.UNREADABLE
                    break
                if found.kind == GAP:
                    on_gap(self.position + at, found)
                self.next_seq = found.next_seq
                if found.kind == SEAL:
                    stop = Stop.SEALED
                    break
                at += found.size
                if found.kind in WITH_EVENTS:
                    records.append(found)
            elif isinstance(found, Unfinished):
                if at:
                    break
                data, stop = self._more(data, found.needed)
            else:
                stop = Stop.BLANK if isinstance(found, Blank) else Stop.UNREADABLE
        self.position += at
        self._appetite = self._appetite * 4 if stop is Stop.MORE else _SMALL_READ_BYTES
        return records, stop

    def has_record(self) -> bool:
        """Whether an intact record that may follow stands at the present position by now."""
        found = read_record(self._fd, self.position)
        return isinstance(found, Record) and found.seq >= self.next_seq

    def find_next(self) -> tuple[int, Record] | None:
        """The next intact record behind the present position, and where. Reads up to the file's end."""
        return find_record(self._fd, self.position + 1, self.size, self.next_seq)

    def fork(self) -> SegmentReader:
        """Another reader at the same place, for any thread, whether or not the file still has its name."""
        other = copy.copy(self)
        other._pieces = None
        other._fd = os.dup(self._fd)
        return other

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def _more(self, data: bytes, needed: int) -> tuple[bytes, Stop]:
        if needed <= len(data):
            return data, Stop.MORE
        more = os.pread(self._fd, needed, self.position)
        if len(more) >= needed:
            return more, Stop.MORE
        return more, Stop.UNREADABLE if more.strip(b"\0") else Stop.BLANK


def find_record(fd: int, start: int, end: int, least_seq: int) -> tuple[int, Record] | None:
    """The first intact record in ``[start, end)`` whose sequence number is at least ``least_seq``."""
    overlap = len(RECORD_MAGIC) - 1
    for chunk_at in range(start, end, _SEARCH_BYTES):
        chunk = os.pread(fd, _SEARCH_BYTES + overlap, chunk_at)
        hit = chunk.find(RECORD_MAGIC)
        while hit >= 0:
            record = read_record(fd, chunk_at + hit)
            if isinstance(record, Record) and record.seq >= least_seq:
                return chunk_at + hit, record
            hit = chunk.find(RECORD_MAGIC, hit + 1)
    return None


def read_record(fd: int, at: int) -> Record | Unfinished | Blank | Unreadable:
    """The record at one place of an open segment."""
    found = decode_record(os.pread(fd, _HEAD_BYTES, at))
    if isinstance(found, Unfinished):
        found = decode_record(os.pread(fd, found.needed, at))
    return found
