"""Partitions that a rebalance takes away, and gives back or does not."""

from __future__ import annotations

import asyncio
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.collectors.conftest import Start, rows, stored_ids
from tests.fakes.event_log import FakeLog
from tests.fakes.gateway_events import analytics, plugin, proxy_log
from tests.fakes.plugin_host import FakeFeed, FakeHost

from weir_collectors.accountant import Accountant, AccountantSettings
from weir_collectors.book import Book
from weir_collectors.groups import observer_group
from weir_collectors.kinds import ACCOUNTANT_GROUP, EventKind
from weir_collectors.tables import records_proxy_logs
from weir_collectors.tables_accounting import accountant_marks, rollups_hourly
from weir_collectors.tables_dead_letters import dead_letter_ranges
from weir_core.clock import SystemClock
from weir_sdk import DataCollectionResponse
from weir_streams.events import ANALYTICS_TOPIC
from weir_streams.log import Partition

GROUP = "weir.deciding.proxy-log"
LOGS = Partition("weir.proxy-log.v1", "spool")
OTHER = Partition("weir.proxy-log.v1", "other")
USAGE = Partition(ANALYTICS_TOPIC, "spool")


class Gate:
    """A handler that lets nobody through before it is opened."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.asked: list[str] = []

    async def __call__(self, message: Any) -> DataCollectionResponse:
        self.asked.append(message.event_id)
        await self.opened.wait()
        return DataCollectionResponse()

    async def until_asked(self, *event_ids: str) -> None:
        while sorted(self.asked) != sorted(event_ids):
            await asyncio.sleep(0.001)


async def test_what_is_finished_after_its_partition_was_lost_is_not_committed(
    start: Start, log: FakeLog, feed: FakeFeed, host: FakeHost, engine: AsyncEngine
) -> None:
    gate = Gate()
    host.put(proxy_log=gate)
    log.append(proxy_log(event_id="theirs"))
    feed.publish(1, [plugin()])
    running = start()
    await gate.until_asked("theirs")
    log.consumers[GROUP].lose(LOGS, and_get_it_back=False)
    log.append(proxy_log(event_id="ours"), partition="other")
    await gate.until_asked("theirs", "ours")
    gate.opened.set()
    await log.until_committed(GROUP, OTHER, 1)
    await running.stop()
    assert log.offset(GROUP) == 0
    assert running.worker.status().kinds[0].restarts == 0


async def test_what_comes_again_with_its_partition_is_committed_when_it_is_finished_again(
    start: Start, log: FakeLog, feed: FakeFeed, host: FakeHost, engine: AsyncEngine
) -> None:
    gate = Gate()
    host.put(proxy_log=gate)
    log.append(proxy_log(event_id="e"))
    feed.publish(1, [plugin()])
    start()
    await gate.until_asked("e")
    log.consumers[GROUP].lose(LOGS, and_get_it_back=True)
    await gate.until_asked("e", "e")
    gate.opened.set()
    await log.until_committed(GROUP, LOGS, 1)
    assert await stored_ids(engine, records_proxy_logs) == ["e"]


async def test_an_observer_loses_partitions_as_deciders_do(
    start: Start, log: FakeLog, feed: FakeFeed, host: FakeHost, engine: AsyncEngine
) -> None:
    gate = Gate()
    host.put(proxy_log=gate)
    group = observer_group("sink", EventKind.PROXY_LOG)
    log.append(proxy_log(event_id="e"))
    feed.publish(1, [plugin(observer=True)])
    running = start()
    await gate.until_asked("e")
    log.consumers[group].lose(LOGS, and_get_it_back=True)
    await gate.until_asked("e", "e")
    gate.opened.set()
    await log.until_committed(group, LOGS, 1)
    assert sum(each.restarts for each in running.worker.status().observers) == 0


async def test_a_range_of_a_lost_partition_is_closed_and_begun_anew_where_it_comes_back(
    start: Start, log: FakeLog, feed: FakeFeed, host: FakeHost, engine: AsyncEngine
) -> None:
    async def away(_message: Any) -> DataCollectionResponse:
        raise ConnectionRefusedError("nobody listens")

    host.put(proxy_log=away)
    log.append(*(proxy_log() for _ in range(10)))
    feed.publish(1, [plugin(max_tries=1, window=1)])
    start()
    await log.until_all_committed()
    log.consumers[GROUP].lose(LOGS, and_get_it_back=True)
    log.append(*(proxy_log() for _ in range(10)))
    await log.until_all_committed()
    first, *later = await rows(engine, dead_letter_ranges)
    assert first.last_offset == 9
    assert first.state == "closed"
    assert {row.first_offset for row in later} <= set(range(10, 20))
    assert later


async def test_an_accountant_that_gets_a_partition_back_adds_nothing_that_another_one_has_added(
    log: FakeLog, engine: AsyncEngine, logger: Any
) -> None:
    def used(number: int) -> Any:
        event = analytics(prompt_tokens=1)
        event.spool_id, event.spool_seq = "aaaaaaaaaaaa", number
        return event

    settings = AccountantSettings(gather_s=0.0, commit_every_s=0.0, lag_every_s=0.01)
    accountant = Accountant(log, Book(engine, "one"), clock=SystemClock(), logger=logger, settings=settings)
    stop = asyncio.Event()
    running = asyncio.create_task(accountant.run(stop))
    log.append(*map(used, range(3)))
    await log.until_committed(ACCOUNTANT_GROUP, USAGE, 3)
    consumer = log.consumers[ACCOUNTANT_GROUP]
    consumer.lose(USAGE, and_get_it_back=False)
    log.append(*map(used, range(3, 6)))
    async with engine.begin() as connection:
        # As the other one leaves it: event 3 is in the sums, and its offset not committed.
        await connection.execute(accountant_marks.update().values(spool_seq=3))
    consumer.lose(USAGE, and_get_it_back=True)
    await log.until_committed(ACCOUNTANT_GROUP, USAGE, 6)
    stop.set()
    await running
    async with engine.connect() as connection:
        tokens = (await connection.execute(select(rollups_hourly.c.prompt_tokens))).scalars().all()
    assert sum(tokens) == 5, "0, 1 and 2 before, 4 and 5 after"
    assert accountant.status.restarts == 0
