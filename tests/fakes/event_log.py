"""A log in memory."""

from __future__ import annotations

import asyncio
import sys
from collections import defaultdict
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence

from weir_streams.events import Event, encode
from weir_streams.log import LogRecord, Partition


class FakeLog:
    """An ``EventLog`` in memory; what groups committed outlives their consumers."""

    def __init__(self) -> None:
        self.records: dict[Partition, list[LogRecord]] = defaultdict(list)
        self.committed: dict[tuple[str, Partition], int] = {}
        self.polls_to_fail: list[Exception] = []
        self.commits_to_fail: list[Exception] = []
        self.lags_to_fail: list[Exception] = []
        self.open_consumers = 0
        self.may_join = asyncio.Event()
        """Set unless a test keeps new members waiting for their groups."""
        self.may_join.set()
        self.consumers: dict[str, FakeConsumer] = {}
        """The newest member of each group."""
        self._changed = asyncio.Condition()

    def append(self, *events: Event, partition: str = "spool") -> None:
        for event in events:
            encoded = encode(event)
            self.append_raw(encoded.topic, encoded.value, key=encoded.key, partition=partition)

    def append_raw(self, topic: str, value: bytes, *, key: bytes = b"1", partition: str = "spool") -> None:
        place = Partition(topic, partition)
        self.records[place].append(LogRecord(place, len(self.records[place]), key, value))

    def offset(self, group: str, topic: str = "weir.proxy-log.v1", partition: str = "spool") -> int:
        return self.committed.get((group, Partition(topic, partition)), 0)

    async def until_committed(self, group: str, partition: Partition, offset: int) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self.committed.get((group, partition), 0) >= offset)

    async def until_all_committed(self) -> None:
        """Every record has been read and committed by its kind's deciding group."""
        for partition, records in list(self.records.items()):
            group = "weir.deciding." + partition.topic.removeprefix("weir.").removesuffix(".v1")
            await self.until_committed(group, partition, len(records))

    async def committing(self, offsets: Mapping[tuple[str, Partition], int]) -> None:
        async with self._changed:
            self.committed.update(offsets)
            self._changed.notify_all()

    async def consumer(
        self, group: str, topics: Sequence[str], *, start: Mapping[Partition, int] | None = None
    ) -> FakeConsumer:
        await self.may_join.wait()
        self.open_consumers += 1
        self.consumers[group] = FakeConsumer(self, group, topics, start)
        return self.consumers[group]

    async def close(self) -> None:
        pass

    async def read_range(
        self, partition: Partition, first: int, last: int
    ) -> AsyncGenerator[Sequence[LogRecord], None]:
        records = [item for item in self.records[partition] if first <= item.offset <= last]
        for start in range(0, len(records), 100):
            yield records[start : start + 100]


class FakeConsumer:
    def __init__(
        self, log: FakeLog, group: str, topics: Sequence[str], start: Mapping[Partition, int] | None
    ) -> None:
        self._log = log
        self._group = group
        self._topics = topics
        self._start = start
        self._next: dict[Partition, int] = {}
        self._lost: set[Partition] = set()

    def lose(self, partition: Partition, *, and_get_it_back: bool) -> None:
        """As a rebalance would; what comes back is read from the committed offset on."""
        self._lost.add(partition)
        committed = self._log.committed.get((self._group, partition), 0)
        self._next[partition] = committed if and_get_it_back else sys.maxsize

    def lost(self) -> Collection[Partition]:
        lost, self._lost = self._lost, set()
        return lost

    async def poll(self, max_records: int, timeout_s: float) -> Sequence[LogRecord]:
        if self._log.polls_to_fail:
            raise self._log.polls_to_fail.pop()
        found: list[LogRecord] = []
        for partition, records in self._partitions():
            start = self._next.setdefault(partition, self._first(partition))
            taken = records[start : start + max_records - len(found)]
            self._next[partition] = start + len(taken)
            found.extend(taken)
        await asyncio.sleep(0 if found else min(timeout_s, 0.002))
        return found

    def _first(self, partition: Partition) -> int:
        committed = self._log.committed.get((self._group, partition), 0)
        return committed if self._start is None else self._start.get(partition, 0)

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        assert offsets, "to some logs, no offsets means all"
        await asyncio.sleep(0)
        if self._log.commits_to_fail:
            raise self._log.commits_to_fail.pop()
        await self._log.committing({(self._group, place): offset for place, offset in offsets.items()})

    async def lag(self) -> Mapping[Partition, int]:
        if self._log.lags_to_fail:
            raise self._log.lags_to_fail.pop()
        return {
            partition: len(records) - self._log.committed.get((self._group, partition), 0)
            for partition, records in self._partitions()
        }

    async def close(self) -> None:
        self._log.open_consumers -= 1

    def _partitions(self) -> list[tuple[Partition, list[LogRecord]]]:
        return [item for item in list(self._log.records.items()) if item[0].topic in self._topics]
