"""Observers: groups of their own, who never affect storage and never hold anybody up."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.collectors.conftest import BOTH_DATABASES, Start, rows, stored_ids
from tests.collectors.sinks import Sink
from tests.fakes.event_log import FakeLog
from tests.fakes.gateway_events import analytics, plugin, proxy_log
from tests.fakes.plugin_host import FakeFeed, FakeHost, hangs, raises

from weir_collectors.groups import observer_group
from weir_collectors.kinds import EventKind
from weir_collectors.tables import records_proxy_logs, undecodable_events
from weir_collectors.tables_dead_letters import dead_letter_ranges, dead_letters
from weir_sdk import DataCollectionResponse
from weir_streams.log import Partition

DATABASES = BOTH_DATABASES

LOGS = Partition("weir.proxy-log.v1", "spool")
GROUP = observer_group("watcher", EventKind.PROXY_LOG)


async def until_observed(log: FakeLog) -> None:
    await log.until_committed(GROUP, LOGS, len(log.records[LOGS]))


async def test_an_observer_gets_every_event_and_its_handled_counts_for_nothing(
    start: Start, log: FakeLog, feed: FakeFeed, host: FakeHost, engine: AsyncEngine
) -> None:
    sink = Sink(handled=True)
    host.put(proxy_log=sink.take)
    events = [proxy_log() for _ in range(50)]
    log.append(*events, analytics())
    feed.publish(1, [plugin(1, "watcher", observer=True)])
    running = start()
    await log.until_all_committed()
    await until_observed(log)
    assert len(await stored_ids(engine, records_proxy_logs)) == 50
    assert sink.got == {event.event_id: 1 for event in events}
    (status,) = running.worker.status().collectors
    assert (status.observer, status.handled, status.stored) == (True, 50, 0)


async def test_a_hanging_observer_holds_nobody_up(
    start: Start, log: FakeLog, feed: FakeFeed, host: FakeHost, engine: AsyncEngine
) -> None:
    host.put(proxy_log=hangs)
    log.append(*(proxy_log() for _ in range(50)))
    feed.publish(1, [plugin(1, "watcher", observer=True)])
    start()
    await log.until_all_committed()
    assert len(await stored_ids(engine, records_proxy_logs)) == 50
    assert log.offset(GROUP) == 0


async def test_what_an_observer_gives_up_on_is_a_dead_letter_and_its_records_are_nobodys_business(
    start: Start, log: FakeLog, feed: FakeFeed, host: FakeHost, engine: AsyncEngine
) -> None:
    async def handles_all(_message: Any) -> DataCollectionResponse:
        return DataCollectionResponse(handled=True)

    host.put(1, proxy_log=raises)
    host.put(2, proxy_log=handles_all)
    log.append(*(proxy_log() for _ in range(10)))
    log.append_raw(LOGS.topic, b"poison")
    feed.publish(1, [plugin(1, "watcher", observer=True, max_tries=2), plugin(2, "decider")])
    start()
    await log.until_all_committed()
    await until_observed(log)
    assert await rows(engine, records_proxy_logs) == []
    letters = await rows(engine, dead_letters)
    assert {(row.collector, row.tries) for row in letters} == {("watcher", 2)}
    assert len(letters) == 10
    assert len(await rows(engine, undecodable_events)) == 1


@pytest.mark.parametrize("on_outage", ["store", "pause"])
async def test_an_observer_too_far_behind_goes_on_from_the_end_and_the_rest_is_a_range(
    start: Start,
    log: FakeLog,
    feed: FakeFeed,
    host: FakeHost,
    engine: AsyncEngine,
    logger: Any,
    on_outage: str,
) -> None:
    sink = Sink()
    release = asyncio.Event()

    async def stuck(message: Any) -> DataCollectionResponse:
        if on_outage == "pause":
            sink.failing = None if release.is_set() else ConnectionError("away")
        else:
            await release.wait()
        return await sink.take(message)

    host.put(proxy_log=stuck)
    first = [proxy_log() for _ in range(500)]
    log.append(*first)
    options = {"max_lag": 100, "window": 10, "on_outage": on_outage}
    feed.publish(1, [plugin(1, "watcher", observer=True, **options)])
    running = start()
    while not await rows(engine, dead_letter_ranges) and on_outage == "pause":
        await asyncio.sleep(0.005)
    while running.worker.status().collectors[0].overruns == 0:
        await asyncio.sleep(0.005)
    release.set()
    await until_observed(log)
    while "observer goes on" not in str(logger._logger.calls):
        await asyncio.sleep(0.005)
    after = [proxy_log() for _ in range(5)]
    log.append(*after)
    await until_observed(log)
    await log.until_all_committed()
    ranges = await rows(engine, dead_letter_ranges)
    assert sum(row.events for row in ranges) + sum(sink.got.values()) == 505
    assert all(sink.got[event.event_id] == 1 for event in after) or on_outage == "pause"
    assert any("500 events behind and may be 100" in row.reason for row in ranges) or on_outage == "pause"
    assert len(await stored_ids(engine, records_proxy_logs)) == 505
    assert "observer too far behind" in str(logger._logger.calls)


async def test_an_observer_comes_goes_and_comes_again_while_the_worker_runs(
    start: Start, log: FakeLog, feed: FakeFeed, host: FakeHost
) -> None:
    sink = Sink()
    host.put(proxy_log=sink.take)
    feed.publish(1)
    running = start()
    watcher = plugin(1, "watcher", observer=True)
    log.append(proxy_log(event_id="first"))
    feed.publish(2, [watcher])
    await until_observed(log)
    feed.publish(3)
    while log.open_consumers != len(EventKind):
        await asyncio.sleep(0.005)
    log.append(proxy_log(event_id="missed"))
    await log.until_all_committed()
    assert list(sink.got) == ["first"]
    assert running.worker.status().observers == ()

    feed.publish(4, [watcher])
    await until_observed(log)
    assert sink.got == {"first": 1, "missed": 1}
    assert [group.group for group in running.worker.status().observers] == [
        observer_group("watcher", kind) for kind in EventKind
    ]
    await running.stop()
    assert log.open_consumers == 0


async def test_a_decider_that_becomes_an_observer_decides_no_more(
    start: Start, log: FakeLog, feed: FakeFeed, host: FakeHost, engine: AsyncEngine
) -> None:
    sink = Sink()
    host.put(proxy_log=sink.take)
    feed.publish(1, [plugin(1, "watcher")])
    running = start()
    log.append(proxy_log(event_id="handled"))
    await log.until_all_committed()
    feed.publish(2, [plugin(1, "watcher", observer=True)])
    while running.worker.status().revision != 2:
        await asyncio.sleep(0.001)
    log.append(proxy_log(event_id="stored"))
    await log.until_all_committed()
    assert await stored_ids(engine, records_proxy_logs) == ["stored"]
    await until_observed(log)
    assert sink.got["stored"] == 1
