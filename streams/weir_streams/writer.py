"""Appending records to a spool directory: one ``pwrite`` each, into room that was allocated before."""

from __future__ import annotations

import os
from collections import deque
from typing import NamedTuple

from weir_core.clock import Clock
from weir_streams.durable import write_all
from weir_streams.errors import SpoolFullError
from weir_streams.segment import RECORD_HEADER_BYTES, SEAL, SEGMENT_HEADER_BYTES, encode_record, segment_name
from weir_streams.segment_files import SegmentFiles


class OpenSegment:
    """A segment that is written, or was until a moment ago and still has to be synced."""

    __slots__ = ("base_seq", "end", "fd", "position", "suspect", "synced_to")

    def __init__(self, fd: int, base_seq: int, position: int, end: int) -> None:
        self.fd = fd
        self.base_seq = base_seq
        self.position = position
        self.synced_to = position
        self.suspect = False
        self.end = end

    @property
    def room(self) -> int:
        """Bytes left for records; the seal's are set aside."""
        return self.end - self.position - RECORD_HEADER_BYTES


class Unsynced(NamedTuple):
    """What a sync has to write: everything below ``next_seq``."""

    next_seq: int
    current: OpenSegment | None
    retired: tuple[OpenSegment, ...]


class SegmentWriter:
    """The one writer of a directory: one thread at a time, beside which ``unsynced`` and ``forget`` may run.

    Args:
        files: The directory's files.
        clock: Stamps segments.
        next_seq: The first sequence number to give.
        current: The segment to go on in, None to begin a new one with the next record.
    """

    def __init__(
        self, files: SegmentFiles, clock: Clock, next_seq: int, current: OpenSegment | None = None
    ) -> None:
        self.files = files
        self.next_seq = next_seq
        self._clock = clock
        self._current = current
        self._retired: deque[OpenSegment] = deque()
        self._failed = 0

    @property
    def room_here(self) -> int:
        """Bytes left in the segment that is being written."""
        return self._current.room if self._current is not None else 0

    def room_beyond(self, reserve: int) -> int:
        """Bytes that records of at most ``reserve`` bytes can fill for certain.

        Crossing into the next segment may waste almost one such record's room.
        """
        spare_room = self.files.spare_room - self.files.spares * reserve
        if self._current is None:
            return max(0, spare_room + reserve) if self.files.spares else 0
        return self._current.room + max(0, spare_room)

    def room_after(self, size: int, reserve: int) -> int:
        """What ``room_beyond`` would say after a record of ``size`` bytes; negative when it does not fit."""
        current = self._current
        if current is not None and size <= current.room:
            return self.room_beyond(reserve) - size
        files = self.files
        if size > files.next_room:
            return -1
        others = files.spare_room - files.next_room - (files.spares - 1) * reserve
        return files.next_room - size + max(0, others)

    def write(self, record: bytes, events: int) -> None:
        """Append one record that holds ``events`` events.

        Raises:
            SpoolFullError: No allocated segment has room for it.
            OSError: The disk refused; the same record may be written again.
        """
        current = self._current
        if current is None or len(record) > current.room:
            current = self._roll(len(record))
        try:
            write_all(current.fd, record, current.position)
        except OSError:
            self._failed = max(self._failed, len(record))
            raise
        current.position += len(record)
        self.next_seq += events

    def scrub(self) -> None:
        """Write zeros over what a failed record left: proof that the disk takes writes again.

        Raises:
            OSError: It still refuses.
        """
        current = self._current
        if current is not None:
            size = min(self._failed, current.end - current.position)
            write_all(current.fd, bytes(size), current.position)
        self._failed = 0

    def seal(self) -> None:
        """End the current segment; the next record begins a new one.

        Raises:
            OSError: The disk refused; the segment stays current.
        """
        current = self._current
        if current is None:
            return
        seal = encode_record(SEAL, self.next_seq, self._clock.wall_us())
        write_all(current.fd, seal, current.position)
        current.position += len(seal)
        # Retired before it stops being current, so that a sync beside us sees it in one place or the other.
        self._retired.append(current)
        self._current = None

    def finish(self) -> None:
        """Leave no segment open for records: seal the current one, or remove it when it holds none.

        Raises:
            OSError: The disk refused.
        """
        current = self._current
        if current is not None and current.position == SEGMENT_HEADER_BYTES:
            self._current = None
            os.close(current.fd)
            (self.files.directory / segment_name(current.base_seq)).unlink()
        else:
            self.seal()

    def abandon(self) -> None:
        """Close what is still open, as it is."""
        _, current, retired = self.unsynced()
        if current is not None and current not in retired:
            os.close(current.fd)
        for segment in retired:
            os.close(segment.fd)
        self._current = None
        self._retired.clear()

    def unsynced(self) -> Unsynced:
        """What stands to be synced. Any thread: the order of the three looks is what makes it complete."""
        next_seq = self.next_seq
        current = self._current
        return Unsynced(next_seq, current, tuple(self._retired))

    def forget(self, retired: OpenSegment) -> None:
        """Cut a retired, synced segment to its length and close it. Any thread."""
        self._retired.remove(retired)
        os.ftruncate(retired.fd, retired.position)
        os.close(retired.fd)

    def _roll(self, size: int) -> OpenSegment:
        if size > self.files.next_room:
            raise SpoolFullError(
                f"spool {self.files.spool_id} has no allocated room for {size} bytes; free some disk"
            )
        self.seal()
        fd = self.files.take_spare(self.next_seq, self._clock.wall_us())
        self._current = OpenSegment(fd, self.next_seq, SEGMENT_HEADER_BYTES, os.fstat(fd).st_size)
        return self._current
