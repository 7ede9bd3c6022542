"""The files of one spool directory: segments, and room that was allocated before it is needed."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path
from typing import Final, NamedTuple

from weir_streams.durable import allocate, sync_directory, write_all
from weir_streams.errors import SpoolFullError
from weir_streams.reader import segment_bases
from weir_streams.segment import (
    RECORD_HEADER_BYTES,
    SEGMENT_HEADER_BYTES,
    SegmentHeader,
    encode_segment_header,
    segment_name,
)
from weir_streams.settings import KIB, SpoolSettings

# A segment's header, and the seal that it must always have room for.
SEGMENT_OVERHEAD: Final = SEGMENT_HEADER_BYTES + RECORD_HEADER_BYTES

_SPARE_SUFFIX: Final = ".spare"
_UNFINISHED_SUFFIX: Final = ".new"
_SMALLEST_SEGMENT: Final = 128 * KIB
_SEGMENTS_PER_CAP: Final = 8


class Spare(NamedTuple):
    """An allocated segment that is not in use yet."""

    path: Path
    size: int


class SegmentFiles:
    """Owned by the directory's lock holder. ``allocate`` may run on a thread beside ``take_spare``.

    Args:
        directory: The spool's directory; its name is the spool's id.
        settings: Sizes. Where half the free disk is less than the cap, it is the cap, and where a segment
            would be more than an eighth of the cap, segments are smaller.
    """

    def __init__(self, directory: Path, settings: SpoolSettings) -> None:
        self.directory = directory
        self.spool_id = directory.name
        disk = os.statvfs(directory)
        self.cap = min(settings.max_bytes, self.allocated_bytes() + disk.f_bavail * disk.f_frsize // 2)
        self.segment_bytes = min(
            settings.segment_bytes, max(_SMALLEST_SEGMENT, self.cap // _SEGMENTS_PER_CAP)
        )
        self.spare_room = 0
        self._spares: tuple[Spare, ...] = ()
        self._allocating = threading.Lock()
        self._changing = threading.Lock()
        self._names_changed = True
        self._set_spares(self._find_spares())

    @property
    def spares(self) -> int:
        """How many spares there are; ``spare_room`` is what records may use of them all."""
        return len(self._spares)

    @property
    def next_room(self) -> int:
        """What records may use of the next spare; 0 when there is none."""
        spares = self._spares
        return spares[0].size - SEGMENT_OVERHEAD if spares else 0

    def bases(self) -> list[int]:
        """First sequence numbers of the segments, ascending."""
        return segment_bases(self.directory)

    def allocated_bytes(self) -> int:
        """What segments and spares take on the disk."""
        total = 0
        for entry in os.scandir(self.directory):
            if entry.name.endswith((".seg", _SPARE_SUFFIX)):
                # A spare may become a segment under our eyes; it is counted under one name or the other.
                with contextlib.suppress(FileNotFoundError):
                    total += entry.stat().st_size
        return total

    def allocate(self) -> None:
        """Add a spare segment. Blocks while the file system finds the blocks.

        Raises:
            SpoolFullError: It would pass the cap.
            OSError: The disk is full or refused.
        """
        with self._allocating:
            allocated = self.allocated_bytes()
            if allocated + self.segment_bytes > self.cap:
                raise SpoolFullError(
                    f"spool {self.spool_id} holds {allocated} bytes and may hold {self.cap}; "
                    "let its consumers catch up, or raise spool.max_bytes"
                )
            unfinished = self.directory / f"{os.urandom(4).hex()}{_UNFINISHED_SUFFIX}"
            try:
                _preallocate(unfinished, self.segment_bytes)
                spare = unfinished.with_suffix(_SPARE_SUFFIX)
                unfinished.rename(spare)
            except OSError:
                unfinished.unlink(missing_ok=True)
                raise
            with self._changing:
                self._set_spares((*self._spares, Spare(spare, self.segment_bytes)))

    def take_spare(self, base_seq: int, wall_us: int) -> int:
        """Turn a spare into the segment that starts at ``base_seq``; return its open descriptor.

        Raises:
            IndexError: There is no spare.
            OSError: The disk refused; the spare is still there.
        """
        spare = self._spares[0].path
        fd = os.open(spare, os.O_RDWR | os.O_CLOEXEC)
        try:
            write_all(fd, encode_segment_header(SegmentHeader(self.spool_id, base_seq, wall_us)), 0)
            spare.rename(self.directory / segment_name(base_seq))
        except BaseException:
            os.close(fd)
            raise
        with self._changing:
            self._set_spares(self._spares[1:])
        self._names_changed = True
        return fd

    def sync_names(self) -> None:
        """Make new segments' names survive a power cut. Blocks; any thread."""
        if self._names_changed:
            self._names_changed = False
            sync_directory(self.directory)

    def drop_spares(self) -> None:
        """Give unused room back to the disk."""
        with self._changing:
            for spare in self._spares:
                spare.path.unlink(missing_ok=True)
            self._set_spares(())

    def _set_spares(self, spares: tuple[Spare, ...]) -> None:
        self._spares = spares
        self.spare_room = sum(spare.size - SEGMENT_OVERHEAD for spare in spares)

    def _find_spares(self) -> tuple[Spare, ...]:
        """Take over what the last owner had allocated: on a full disk it is the only room there is."""
        found = []
        for entry in os.scandir(self.directory):
            if entry.name.endswith(_UNFINISHED_SUFFIX):
                Path(entry.path).unlink()
            elif entry.name.endswith(_SPARE_SUFFIX):
                found.append(Spare(Path(entry.path), entry.stat().st_size))
        return tuple(found)


def _preallocate(path: Path, size: int) -> None:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        allocate(fd, size)
    finally:
        os.close(fd)
