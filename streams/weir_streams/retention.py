"""Which segments may go: whole, consumed, and old or too many. Never one that somebody still needs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from weir_core.clock import Clock
from weir_streams.durable import sync_directory
from weir_streams.offsets import GroupOffsets, known_groups
from weir_streams.reader import segment_bases
from weir_streams.repair import end_of
from weir_streams.reports import Logger
from weir_streams.segment import segment_name
from weir_streams.settings import SpoolSettings

NeededGroups = Callable[[], Collection[str] | None]
"""The groups of the present configuration; None while there is none. Called on the keeper's thread."""


class _Segment(NamedTuple):
    path: Path
    end_seq: int
    size: int
    age_s: float


class Retention:
    """Deletes segments of directories whose lock the caller holds. Any thread.

    Args:
        root: The data directory.
        settings: Ages, sizes and the groups that must have passed a segment.
        clock: Its wall time is compared with the segments' modification times.
        logger: Told what was deleted.
        needed: The groups that are waited for beside the required ones, asked anew each time. While it is not
            known (no function, or None from it), every group that has ever joined is waited for.
    """

    def __init__(
        self,
        root: Path,
        settings: SpoolSettings,
        clock: Clock,
        logger: Logger,
        needed: NeededGroups | None = None,
    ) -> None:
        self._root = root
        self._settings = settings
        self._clock = clock
        self._logger = logger
        self._needed = needed
        self._deleting = threading.Lock()

    def apply(self, directory: Path) -> int:
        """Delete what all that are waited for have consumed and is too old or too much. Blocks.

        Returns:
            How many segments went.
        """
        with self._deleting:
            return self._apply(directory)

    def make_room(self, directory: Path) -> bool:
        """Delete the oldest segment that the required groups have passed, when the spool is full. Blocks.

        Groups that are not required cannot make it refuse requests; they lose their place in that segment.
        """
        needed = self._settings.required_groups or self._everyone()
        with self._deleting:
            return self._delete(directory, self._consumed(directory, needed)[:1], "spool full") > 0

    def is_spent(self, directory: Path) -> bool:
        """Whether a directory has been empty for so long that it may go."""
        age_s = self._clock.wall_us() / 1_000_000 - directory.stat().st_mtime
        return age_s > self._settings.retention_s and not segment_bases(directory)

    def _apply(self, directory: Path) -> int:
        consumed = self._consumed(directory, self._everyone())
        surplus = sum(segment.size for segment in consumed) - self._settings.retention_bytes
        doomed = []
        for segment in consumed:
            if segment.age_s <= self._settings.retention_s and surplus <= 0:
                break
            doomed.append(segment)
            surplus -= segment.size
        return self._delete(directory, doomed, "retention")

    def _everyone(self) -> Sequence[str]:
        needed = None if self._needed is None else self._needed()
        if needed is None:
            needed = known_groups(self._root)
        return sorted({*needed, *self._settings.required_groups})

    def _consumed(self, directory: Path, groups: Sequence[str]) -> list[_Segment]:
        """The oldest segments up to the first that a group still needs; none when there are no groups."""
        passed = min(
            (GroupOffsets.load(self._root, group).passed(directory.name) for group in groups),
            default=0,
        )
        consumed = []
        now_s = self._clock.wall_us() / 1_000_000
        for base in segment_bases(directory):
            end_seq = end_of(directory, base)
            if end_seq is None or end_seq > passed:
                break
            path = directory / segment_name(base)
            status = path.stat()
            consumed.append(_Segment(path, end_seq, status.st_size, now_s - status.st_mtime))
        return consumed

    def _delete(self, directory: Path, segments: Sequence[_Segment], why: str) -> int:
        for segment in segments:
            segment.path.unlink()
            self._logger.info(
                "segment deleted", spool_id=directory.name, segment=segment.path.name, reason=why
            )
        if segments:
            sync_directory(directory)
        return len(segments)
