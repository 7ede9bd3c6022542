"""From deliveries to committed sums: nothing is skipped, whatever the consumer does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.streams.support import RecordingLogger
from tests.streams.windows.bench import LENGTH_S, NOON_S, PARTITION, HeldClock, new_store, record

from weir_streams.errors import EventsSkippedError
from weir_streams.log import Bounds, LogRecord, Partition
from weir_streams.windows.adding import Adder, Delivery
from weir_streams.windows.status import StreamsStatus
from weir_streams.windows.store import WindowStore


class Bench:
    """An adder over a log whose first kept offset is ``first``."""

    def __init__(self, store: WindowStore, first: int = 0) -> None:
        self.store = store
        self.first = first
        self.status = StreamsStatus()
        self.done: list[int] = []
        self.clock = HeldClock(NOON_S + LENGTH_S)
        self.adder = Adder(
            store,
            tail=self,
            keep_days=1,
            retention_days=1,
            clock=self.clock,
            logger=RecordingLogger(),
            status=self.status,
        )

    async def bounds(self, topics: Collection[str], from_us: int) -> Mapping[Partition, Bounds]:
        return {PARTITION: Bounds(self.first, 1000)}

    async def add(self, *records: LogRecord) -> None:
        deliveries: asyncio.Queue[Any] = asyncio.Queue()
        for one in records:
            deliveries.put_nowait(Delivery(one, lambda offset=one.offset: self.done.append(offset)))
        await self.adder.add(deliveries, self._call)

    async def _call(self, blocking: Callable[..., Any], *args: Any, **named: Any) -> Any:
        return blocking(*args, **named)

    @property
    def counted(self) -> int:
        return sum(window.sums.requests for window in self.store.unpublished(1000))


async def test_deliveries_are_acknowledged_once_they_are_in_the_sums(tmp_path: Path) -> None:
    bench = Bench(new_store(tmp_path))
    await bench.add(record(0), record(1))
    assert (bench.counted, bench.done, bench.adder.places) == (2, [0, 1], {PARTITION: 2})


async def test_what_faust_reads_again_is_passed(tmp_path: Path) -> None:
    bench = Bench(new_store(tmp_path))
    await bench.add(record(0), record(1))
    foreign = {"spool_id": "", "event_id": ""}
    await bench.add(record(0, **foreign), record(1, **foreign), record(2))
    assert (bench.counted, bench.done) == (3, [0, 1, 0, 1, 2])


async def test_offsets_that_kafka_still_has_are_never_skipped(tmp_path: Path) -> None:
    bench = Bench(new_store(tmp_path))
    await bench.add(record(0))
    with pytest.raises(EventsSkippedError, match=r"offset 3 .* came instead of 2"):
        await bench.add(record(1), record(3))
    assert (bench.counted, bench.done) == (1, [0])
    assert bench.store.place().offsets == {PARTITION: 1}


async def test_windows_that_lost_events_to_retention_are_not_published(tmp_path: Path) -> None:
    bench = Bench(new_store(tmp_path), first=5)
    await bench.add(record(5, NOON_S + 1), record(6, NOON_S + LENGTH_S))
    assert bench.adder.places == {PARTITION: 7}
    [window] = bench.store.unpublished(1000)
    assert window.key.start_s == NOON_S + LENGTH_S


async def test_after_a_rebuild_only_windows_within_the_retention_are_published(tmp_path: Path) -> None:
    bench = Bench(new_store(tmp_path), first=5)
    bench.clock.wall_s = NOON_S + 24 * 3600 + LENGTH_S
    await bench.add(record(5, NOON_S - 1), record(6, NOON_S), record(7, NOON_S + 2 * LENGTH_S))
    assert [window.key.start_s for window in bench.store.unpublished(1000)] == [NOON_S + 2 * LENGTH_S]
    assert bench.status.late == 2


async def test_what_is_no_event_is_counted_and_passed(tmp_path: Path) -> None:
    bench = Bench(new_store(tmp_path))
    await bench.add(record(0)._replace(value=b"no event"), record(1))
    assert (bench.status.undecodable, bench.status.added, bench.counted) == (1, 1, 1)
