"""How much of the spools consumers have not passed, and since when it waits.

Only the headers of records are read, so that looking is cheap beside consuming, and it needs no consumer: the
figures are right while Kafka is away, which is when they are wanted.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from weir_streams.home import spool_directories
from weir_streams.offsets import GroupOffsets
from weir_streams.reader import segment_bases
from weir_streams.segment import (
    RECORD_HEADER_BYTES,
    SEGMENT_HEADER_BYTES,
    WITH_EVENTS,
    RecordHeader,
    decode_record_header,
    segment_name,
)
from weir_streams.segment_reader import find_record

# Records that follow one another without a gap are remembered together.
_MOST_EVENTS: Final = 1024
_MOST_US: Final = 1_000_000


class Backlog(msgspec.Struct, frozen=True):
    """What waits: events, the bytes of their records, and when the oldest was written.

    ``oldest_us`` is microseconds since the Unix epoch, at most a second too early; None when nothing waits.
    """

    events: int = 0
    size: int = 0
    oldest_us: int | None = None

    def age_s(self, now_us: int) -> float:
        """How long the oldest has waited, in seconds; 0 when nothing waits."""
        return 0.0 if self.oldest_us is None else max(0, now_us - self.oldest_us) / 1_000_000


class SpoolStatus(msgspec.Struct, frozen=True):
    """What a process says of the spools that it reads: the backlog, and whether it alarms.

    ``late`` says that ``oldest_s`` is past half of what the spool keeps.
    """

    waiting_events: int = 0
    waiting_bytes: int = 0
    oldest_s: float = 0.0
    late: bool = False


class SpoolBacklog:
    """Measures one data directory again and again. Takes no lock; for one thread at a time.

    Args:
        root: The data directory.
        groups: The consumers; what any of them has not passed waits.
    """

    def __init__(self, root: Path, groups: Sequence[str]) -> None:
        self._root = root
        self._groups = groups
        self._directories: dict[Path, _Directory] = {}

    def measure(self) -> Backlog:
        """Look at what was written and passed since the last look. Blocks; the first look is the longest.

        A damaged place is passed over, and what stood there is not counted.

        Raises:
            OSError: The disk refused.
        """
        offsets = [GroupOffsets.load(self._root, group) for group in self._groups]
        present = spool_directories(self._root)
        for gone in self._directories.keys() - set(present):
            del self._directories[gone]
        found = []
        for directory in present:
            known = self._directories.setdefault(directory, _Directory(directory))
            found.append(known.measure(min(one.passed(directory.name) for one in offsets)))
        oldest = [one.oldest_us for one in found if one.oldest_us is not None]
        return Backlog(
            sum(one.events for one in found), sum(one.size for one in found), min(oldest, default=None)
        )


class _Block(NamedTuple):
    """Records without a gap between their numbers."""

    seq: int
    next_seq: int
    size: int
    wall_us: int

    def joined(self, header: RecordHeader) -> _Block | None:
        """This block with one more record; None when that begins a new one."""
        fits = (
            header.seq == self.next_seq
            and header.next_seq - self.seq <= _MOST_EVENTS
            and header.wall_us - self.wall_us <= _MOST_US
        )
        return _Block(self.seq, header.next_seq, self.size + header.size, self.wall_us) if fits else None

    def size_from(self, seq: int) -> int:
        """Of its bytes, the share from a number on."""
        events = self.next_seq - self.seq
        return self.size if seq <= self.seq else self.size * (self.next_seq - seq) // events


class _Directory:
    """One spool: the blocks that wait, and how far it was looked through."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._blocks: deque[_Block] = deque()
        self._base: int | None = None
        self._position = SEGMENT_HEADER_BYTES

    def measure(self, passed: int) -> Backlog:
        self._look_ahead(passed)
        while self._blocks and self._blocks[0].next_seq <= passed:
            self._blocks.popleft()
        if not self._blocks:
            return Backlog()
        first = self._blocks[0]
        return Backlog(
            sum(block.next_seq - max(passed, block.seq) for block in self._blocks),
            sum(block.size_from(passed) for block in self._blocks),
            first.wall_us,
        )

    def _look_ahead(self, passed: int) -> None:
        for base in self._segments(passed):
            if base != self._base:
                self._base, self._position = base, SEGMENT_HEADER_BYTES
            try:
                fd = os.open(self._path / segment_name(base), os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                # Retention took it meanwhile, so nobody waits for it.
                continue
            try:
                for header in self._headers(fd):
                    self._note(header)
            finally:
                os.close(fd)

    def _segments(self, passed: int) -> list[int]:
        """Those from where the last look ended; at first, from the one that the consumers have reached."""
        bases = segment_bases(self._path)
        if self._base is None:
            reached = [base for base in bases if base <= passed]
            return [base for base in bases if base >= max(reached, default=0)]
        return [base for base in bases if base >= self._base]

    def _headers(self, fd: int) -> Iterator[RecordHeader]:
        """From the position on, as far as the segment is written."""
        end = os.fstat(fd).st_size
        while self._position < end:
            data = os.pread(fd, RECORD_HEADER_BYTES, self._position)
            header = decode_record_header(data)
            if header is not None:
                self._position += header.size
                if header.kind in WITH_EVENTS:
                    yield header
            elif not data.strip(b"\0"):
                # Nothing was written here so far.
                return
            elif found := find_record(fd, self._position, end, 0):
                self._position = found[0]
            else:
                return

    def _note(self, header: RecordHeader) -> None:
        joined = self._blocks[-1].joined(header) if self._blocks else None
        if joined is None:
            self._blocks.append(_Block(header.seq, header.next_seq, header.size, header.wall_us))
        else:
            self._blocks[-1] = joined
