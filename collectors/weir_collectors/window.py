"""Which records of a consumer are in flight, and how far their partitions are finished."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
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
    """One partition: offsets in the order they came, and the records of those that are not finished."""

    waiting: deque[int] = field(default_factory=deque)
    unfinished: dict[int, LogRecord] = field(default_factory=dict)

    def advance(self) -> int | None:
        """Drop the finished front and return the offset to commit, None when the front has not moved."""
        last = None
        while self.waiting and self.waiting[0] not in self.unfinished:
            last = self.waiting.popleft()
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
        lane = self._lanes.setdefault(record.partition, _Lane())
        lane.waiting.append(record.offset)
        lane.unfinished[record.offset] = record
        self._bytes += len(record.value)
        self._uncommitted += 1
        self.unfinished += 1

    def oldest(self) -> Sequence[LogRecord]:
        """Of each partition, the first record that is not finished."""
        return [next(iter(lane.unfinished.values())) for lane in self._lanes.values() if lane.unfinished]

    def knows(self, record: LogRecord) -> bool:
        """Whether the record is in flight: this very one, not another delivery of the same offset."""
        lane = self._lanes.get(record.partition)
        return lane is not None and lane.unfinished.get(record.offset) is record

    def finish(self, records: Iterable[LogRecord]) -> Mapping[Partition, int]:
        """Mark records whose effect is durable; return the offsets to commit, per partition that moved.

        What was forgotten is passed over, also when its offset has been admitted again since.
        """
        touched = set()
        for record in records:
            if self.knows(record):
                del self._lanes[record.partition].unfinished[record.offset]
                self._release(record)
                touched.add(record.partition)
        self._changed.set()
        front = {partition: self._advance(partition) for partition in touched}
        return {partition: offset for partition, offset in front.items() if offset is not None}

    def forget(self, partitions: Collection[Partition]) -> None:
        """Drop all records of these partitions: somebody else finishes them, or they come again."""
        for partition in partitions:
            lane = self._lanes.pop(partition, None)
            if lane is not None:
                self._uncommitted -= len(lane.waiting)
                for record in lane.unfinished.values():
                    self._release(record)
        self._changed.set()

    def _release(self, record: LogRecord) -> None:
        self._bytes -= len(record.value)
        self.unfinished -= 1

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
