"""Which records of a consumer are in flight, and how far their partitions are finished."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import msgspec

from weir_streams.log import LogRecord, Partition


class WindowLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How much one deciding group takes on at a time.

    ``unfinished`` and ``unfinished_bytes`` bound memory. ``uncommitted`` bounds how many finished records
    may wait behind an unfinished one, which is how many come again after a crash.
    """

    unfinished: int = 2048
    unfinished_bytes: int = 64 * 1024 * 1024
    uncommitted: int = 32_768


@dataclass(slots=True)
class _Lane:
    """One partition: offsets in the order they came, and those of them that are finished out of turn."""

    waiting: deque[int] = field(default_factory=deque)
    finished: set[int] = field(default_factory=set)

    def advance(self) -> int | None:
        """Drop the finished front and return the offset to commit, None when the front has not moved."""
        last = None
        while self.waiting and self.waiting[0] in self.finished:
            last = self.waiting.popleft()
            self.finished.discard(last)
        return None if last is None else last + 1


class Window:
    """Book-keeping only: it calls nothing and waits only for itself."""

    def __init__(self, limits: WindowLimits) -> None:
        self._limits = limits
        self._lanes: dict[Partition, _Lane] = {}
        self._bytes = 0
        self._uncommitted = 0
        self.unfinished = 0
        self._changed = asyncio.Event()

    def room(self) -> int:
        """How many more records may be admitted now."""
        if self._bytes >= self._limits.unfinished_bytes:
            return 0
        return max(
            0,
            min(self._limits.unfinished - self.unfinished, self._limits.uncommitted - self._uncommitted),
        )

    def admit(self, record: LogRecord) -> None:
        """Take a record on; records of a partition are admitted in their order."""
        self._lanes.setdefault(record.partition, _Lane()).waiting.append(record.offset)
        self._bytes += len(record.value)
        self._uncommitted += 1
        self.unfinished += 1

    def finish(self, records: Iterable[LogRecord]) -> Mapping[Partition, int]:
        """Mark records whose effect is durable; return the offsets to commit, per partition that moved."""
        touched = set()
        for record in records:
            self._lanes[record.partition].finished.add(record.offset)
            self._bytes -= len(record.value)
            self.unfinished -= 1
            touched.add(record.partition)
        self._changed.set()
        front = {partition: self._advance(partition) for partition in touched}
        return {partition: offset for partition, offset in front.items() if offset is not None}

    def _advance(self, partition: Partition) -> int | None:
        lane = self._lanes[partition]
        before = len(lane.waiting)
        offset = lane.advance()
        self._uncommitted -= before - len(lane.waiting)
        if not lane.waiting:
            del self._lanes[partition]
        return offset

    async def finished_some(self, timeout_s: float | None = None) -> None:
        """Wait until something is finished, or until the time is over."""
        self._changed.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
