"""The app as a whole, over a log that a test holds: when it publishes, and when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.streams.support import RecordingLogger
from tests.streams.windows.bench import LENGTH_S, NOON_S, PARTITION, HeldClock, new_store, record
from tests.support.gateway import eventually

from weir_streams.errors import (
    ConsumerFailedError,
    ConsumerStalledError,
    EventsSkippedError,
    LogUnavailableError,
)
from weir_streams.kafka.publisher import Outgoing
from weir_streams.log import Bounds, Partition
from weir_streams.windows.adding import Delivery
from weir_streams.windows.app import StreamsApp, StreamsSettings
from weir_streams.windows.rules import Rules


class HeldLog:
    """A log of ``end`` records, of which those that were ``given`` are delivered."""

    def __init__(self, end: int) -> None:
        self.end = end
        self.away = False
        self.failed = False
        self.looks = 0
        self.deliveries: asyncio.Queue[Any] = asyncio.Queue()

    def give(self, *offsets: int) -> None:
        for offset in offsets:
            self.deliveries.put_nowait(Delivery(record(offset), lambda: None))

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def check(self) -> None:
        if self.failed:
            raise ConsumerFailedError("the reader ended")

    async def bounds(self, topics: Collection[str], from_us: int) -> Mapping[Partition, Bounds]:
        self.looks += 1
        if self.away:
            raise LogUnavailableError("Kafka is away")
        return {PARTITION: Bounds(0, self.end)}


class HeldPublisher:
    """Remembers what was sent, and takes it while it is ``open``."""

    def __init__(self) -> None:
        self.sent: list[Outgoing] = []
        self.open = asyncio.Event()
        self.open.set()

    async def send(self, records: Collection[Outgoing]) -> list[Any]:
        self.sent += records
        await self.open.wait()
        return []

    async def abandon(self) -> None: ...


class Bench:
    def __init__(self, directory: Path, end: int, **settings: Any) -> None:
        self.log = HeldLog(end)
        self.publisher = HeldPublisher()
        self.clock = HeldClock(NOON_S + LENGTH_S)
        self.store = new_store(directory)
        quick = {"publish_every_s": 0.01, "look_every_s": 0.01, "stall_s": 30.0}
        self.app = StreamsApp(
            self.store,
            read=lambda _: self.log,
            tail=self.log,
            connect=self._connect,
            poster=None,
            settings=StreamsSettings(**{**quick, **settings}),
            clock=self.clock,
            logger=RecordingLogger(),
        )
        self.stop = asyncio.Event()
        self.running = asyncio.create_task(self.app.run(self.stop))

    async def _connect(self) -> Any:
        return self.publisher

    def sent(self, topic: str) -> int:
        return sum(message.source.topic == topic for message in self.publisher.sent)

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        async def met() -> bool:
            return condition()

        await eventually(met, what)


@asynccontextmanager
async def bench(directory: Path, end: int, **settings: Any) -> AsyncIterator[Bench]:
    made = Bench(directory, end, **settings)
    try:
        yield made
    finally:
        made.stop.set()
        await asyncio.gather(made.running, return_exceptions=True)


async def test_nothing_is_published_until_all_is_read_that_was_there_at_the_start(tmp_path: Path) -> None:
    async with bench(tmp_path, 3, rules=Rules(spend_nano=1)) as held:
        held.log.give(0, 1)
        await held.until(lambda: held.app.status.added == 2, "two events are added")
        await held.until(lambda: held.app.status.lag == 1, "it was looked at since")
        assert (held.publisher.sent, held.app.status.caught_up) == ([], False)
        held.log.give(2)
        await held.until(lambda: held.sent("weir.alert.v1") == 1, "the alert is published")
        assert held.sent("weir.spend.v1") == 1


async def test_a_clean_end_publishes_what_was_added_and_says_so(tmp_path: Path) -> None:
    async with bench(tmp_path, 0, publish_every_s=3600.0) as held:
        await held.until(lambda: held.app.status.caught_up, "it has caught up")
        held.log.end = 1
        held.log.give(0)
        await held.until(lambda: held.app.status.added == 1, "an event is added")
    assert held.sent("weir.spend.v1") == 1
    assert not new_store(tmp_path).began()


async def test_what_is_being_sent_at_the_end_is_sent_once(tmp_path: Path) -> None:
    async with bench(tmp_path, 1) as held:
        held.publisher.open.clear()
        held.log.give(0)
        await held.until(lambda: held.sent("weir.spend.v1") == 1, "a window is on its way")
        held.stop.set()
        for _ in range(10):  # turns of the loop, in which it could let go of what it is sending
            await asyncio.sleep(0)
        held.publisher.open.set()
    assert held.sent("weir.spend.v1") == 1


async def test_a_reader_that_stands_still_ends_the_app_after_it_has_said_so(tmp_path: Path) -> None:
    async with bench(tmp_path, 1, look_every_s=0.2) as held:
        await held.until(lambda: held.app.status.lag == 1, "there is something to read")
        held.clock.since_start_s = 31
        await held.until(lambda: held.app.status.stalled is not None, "it says that it stands still")
        with pytest.raises(ConsumerStalledError, match="1 events wait and none was read for 30 s"):
            await held.running
    assert new_store(tmp_path).began(), "the end is not a clean one"


async def test_a_kafka_that_is_away_is_no_stall(tmp_path: Path) -> None:
    async with bench(tmp_path, 1) as held:
        await held.until(lambda: held.app.status.lag == 1, "there is something to read")
        held.log.away = True
        held.clock.since_start_s = 31
        looks = held.log.looks
        await held.until(lambda: held.log.looks >= looks + 2, "it was looked for while it is away")
        held.log.away = False
        await held.until(lambda: held.app.status.lag == 1, "the lag is known again")
        assert held.app.status.stalled is None


async def test_it_waits_for_a_kafka_that_is_away_at_the_start(tmp_path: Path) -> None:
    async with bench(tmp_path, 1) as held:
        held.log.away = True
        await held.until(lambda: held.app.status.last_error is not None, "it says what it waits for")
        held.log.away = False
        held.log.give(0)
        await held.until(lambda: held.sent("weir.spend.v1") == 1, "the window is published")


async def test_a_reader_that_gave_up_ends_the_app(tmp_path: Path) -> None:
    async with bench(tmp_path, 1) as held:
        held.log.failed = True
        with pytest.raises(ConsumerFailedError):
            await held.running


async def test_windows_that_are_not_kept_are_taken_out_of_the_topic(tmp_path: Path) -> None:
    async with bench(tmp_path, 1, keep_days=1.0) as held:
        held.log.give(0)
        await held.until(lambda: held.sent("weir.spend.v1") == 1, "the window is published")
        held.clock.wall_s += 2 * 24 * 3600
        await held.until(lambda: held.sent("weir.spend.v1") == 2, "it is taken out")
        first, last = held.publisher.sent
        assert (first.key, last.value) == (last.key, None)


async def test_a_topic_that_was_made_anew_is_read_from_its_beginning_by_the_next_process(
    tmp_path: Path,
) -> None:
    async with bench(tmp_path, 2) as held:
        held.log.give(0, 1)
        await held.until(lambda: held.app.status.added == 2, "two events are added")
        held.log.end = 1
        with pytest.raises(EventsSkippedError, match="made anew"):
            await held.running
    async with bench(tmp_path, 1) as held:
        await held.until(lambda: held.app.status.lag == 1, "there is something to read")
        held.log.deliveries.put_nowait(Delivery(record(0, spool_seq=3), lambda: None))
        await held.until(lambda: held.app.status.added == 1, "it is added")
