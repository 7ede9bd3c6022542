"""Events from the log, past their collectors, into the database: the whole way, on a real SQLite file."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.collectors.conftest import SETTINGS, Start, rows, stored_ids
from tests.fakes.event_log import FakeLog
from tests.fakes.gateway_events import analytics, budget_usage, llm, plugin, proxy_log
from tests.fakes.plugin_host import FakeFeed, FakeHost, batch_handles, handles, hangs, passes, raises

from weir_collectors.consuming import GroupSettings
from weir_collectors.kinds import EventKind
from weir_collectors.tables import (
    RECORDS,
    records_analytics,
    records_budget_usage,
    records_proxy_logs,
    undecodable_events,
)
from weir_collectors.tables_dead_letters import dead_letter_ranges, dead_letters
from weir_collectors.window import WindowLimits
from weir_sdk import DataCollectionResponse
from weir_streams.errors import LogUnavailableError
from weir_streams.log import Partition

LOGS = Partition("weir.proxy-log.v1", "spool")


async def test_without_collectors_every_event_is_stored_by_its_kind(
    start: Start, log: FakeLog, feed: FakeFeed, engine: AsyncEngine
) -> None:
    log.append(proxy_log(event_id="l"), analytics(event_id="a"), budget_usage(event_id="b"))
    feed.publish(1)
    start()
    await log.until_all_committed()
    assert await stored_ids(engine, records_proxy_logs) == ["l"]
    assert await stored_ids(engine, records_analytics) == ["a"]
    assert await stored_ids(engine, records_budget_usage) == ["b"]


async def test_what_is_stored_is_what_the_rule_says(
    start: Start, log: FakeLog, feed: FakeFeed, host: FakeHost, engine: AsyncEngine
) -> None:
    """Collectors that handle, pass, raise and hang side by side, each attached to some of the LLMs."""
    attached = {1: (), 2: (1,), 3: (2,), 4: (3,), 5: (4,), 6: (1, 3), 7: (2, 4), 8: (3, 4), 9: (1, 2, 3, 4)}
    for plugin_id, handler in enumerate((handles, passes, raises, hangs), start=1):
        host.put(plugin_id, proxy_log=handler)
    feed.publish(
        1,
        [
            plugin(1, "handles"),
            plugin(2, "passes"),
            plugin(3, "raises", max_tries=2),
            plugin(4, "hangs", max_tries=2, timeout_ms=5),
            *(llm(llm_id, *plugin_ids) for llm_id, plugin_ids in attached.items()),
        ],
    )
    start()
    events = [proxy_log(event_id=f"{llm_id}-{n}", llm_id=llm_id) for n in range(20) for llm_id in attached]
    log.append(*events)
    await log.until_all_committed()

    handled = {2, 6, 9}
    assert set(await stored_ids(engine, records_proxy_logs)) == {
        event.event_id for event in events if event.llm_id not in handled
    }
    letters = await rows(engine, dead_letters)
    raised = [event.event_id for event in events if 3 in attached[event.llm_id or 0]]
    assert sorted(row.event_id for row in letters if row.collector == "raises") == sorted(raised)
    assert {row.tries for row in letters} == {2}
    hung = sum(row.collector == "hangs" for row in letters)
    hung += sum(row.events for row in await rows(engine, dead_letter_ranges))
    assert hung == sum(4 in attached[event.llm_id or 0] for event in events)


async def test_a_slow_collector_delays_its_own_kind_only(
    start: Start, log: FakeLog, feed: FakeFeed, host: FakeHost, engine: AsyncEngine
) -> None:
    host.put(analytics=hangs)
    feed.publish(1, [plugin()])
    start()
    log.append(analytics(), proxy_log(), budget_usage())
    await log.until_committed(EventKind.PROXY_LOG.group, LOGS, 1)
    await log.until_committed(EventKind.BUDGET_USAGE.group, Partition("weir.budget-usage.v1", "spool"), 1)
    assert log.offset(EventKind.ANALYTICS.group, "weir.analytics.v1") == 0
    assert await stored_ids(engine, records_analytics) == []


async def test_events_behind_a_slow_one_are_stored_but_not_committed_past_it(
    start: Start, log: FakeLog, feed: FakeFeed, host: FakeHost, engine: AsyncEngine
) -> None:
    release = asyncio.Event()

    async def slow_once(message: Any) -> DataCollectionResponse:
        if message.event_id == "slow":
            await release.wait()
        return DataCollectionResponse()

    host.put(proxy_log=slow_once)
    feed.publish(1, [plugin()])
    running = start()
    log.append(proxy_log(event_id="first"), proxy_log(event_id="slow"), *(proxy_log() for _ in range(50)))
    log.append(proxy_log(event_id="elsewhere"), partition="other spool")
    await log.until_committed(EventKind.PROXY_LOG.group, LOGS._replace(name="other spool"), 1)
    while running.worker.status().kinds[0].stored < 52:
        await asyncio.sleep(0.001)
    assert log.offset(EventKind.PROXY_LOG.group) == 1
    assert "slow" not in await stored_ids(engine, records_proxy_logs)

    release.set()
    await log.until_all_committed()
    assert len(await stored_ids(engine, records_proxy_logs)) == 53


async def test_no_more_is_taken_on_than_the_window_holds(
    start: Start, log: FakeLog, feed: FakeFeed, host: FakeHost
) -> None:
    release = asyncio.Event()

    async def waits(_message: Any) -> DataCollectionResponse:
        await release.wait()
        return DataCollectionResponse(handled=True)

    instance = host.put(proxy_log=waits)
    feed.publish(1, [plugin()])
    groups = GroupSettings(limits=WindowLimits(unfinished=5))
    start(settings=msgspec.structs.replace(SETTINGS, groups=groups))
    log.append(*(proxy_log() for _ in range(40)))
    while len(instance.calls) < 5:
        await asyncio.sleep(0.001)
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(instance.calls) == 5
    release.set()
    await log.until_all_committed()
    assert len(instance.calls) == 40


async def test_a_batch_collector_handles_a_backlog(
    start: Start, log: FakeLog, feed: FakeFeed, host: FakeHost, engine: AsyncEngine
) -> None:
    instance = host.put(batch=batch_handles)
    log.append(*(analytics() for _ in range(1000)))
    feed.publish(1, [plugin()])
    start()
    await log.until_all_committed()
    assert await stored_ids(engine, records_analytics) == []
    assert sum(len(batch) for batch in instance.calls) == 1000
    assert len(instance.calls) < 100


async def test_a_poison_event_neither_blocks_nor_is_lost(
    start: Start, log: FakeLog, feed: FakeFeed, engine: AsyncEngine
) -> None:
    log.append(proxy_log(event_id="before"))
    log.append_raw(LOGS.topic, b"\xff not json", key=b"llm:7")
    log.append_raw(LOGS.topic, b'{"event_id": 1}')
    log.append(proxy_log(event_id="after"))
    feed.publish(1)
    running = start()
    await log.until_all_committed()
    assert await stored_ids(engine, records_proxy_logs) == ["before", "after"]
    poison = await rows(engine, undecodable_events)
    assert [(row.offset, row.key, row.value) for row in poison] == [
        (1, b"llm:7", b"\xff not json"),
        (2, b"1", b'{"event_id": 1}'),
    ]
    assert running.worker.status().kinds[0].undecodable == 2


async def test_redelivery_leaves_one_record_and_one_failure(
    start: Start, log: FakeLog, feed: FakeFeed, host: FakeHost, engine: AsyncEngine
) -> None:
    host.put(proxy_log=raises)
    log.append(*(proxy_log() for _ in range(10)))
    log.append_raw(LOGS.topic, b"poison")
    feed.publish(1, [plugin()])
    for _ in range(3):
        running = start()
        await log.until_all_committed()
        await running.stop()
        log.committed.clear()
    assert len(await rows(engine, records_proxy_logs)) == 10
    assert len(await rows(engine, dead_letters)) == 10
    assert len(await rows(engine, undecodable_events)) == 1


async def test_a_failed_commit_repeats_the_work_without_repeating_its_effect(
    start: Start, log: FakeLog, feed: FakeFeed, engine: AsyncEngine
) -> None:
    log.commits_to_fail = [LogUnavailableError("the disk is full"), LogUnavailableError("still")]
    log.append(*(proxy_log() for _ in range(10)))
    feed.publish(1)
    running = start()
    await log.until_all_committed()
    assert len(await rows(engine, records_proxy_logs)) == 10
    assert running.worker.status().kinds[0].restarts == 2


async def test_a_locked_database_pauses_and_drops_nothing(
    start: Start, log: FakeLog, feed: FakeFeed, engine: AsyncEngine, tmp_path: Path
) -> None:
    async with engine.connect() as connection:
        # Without this the test would wait out the five seconds that a real lock is waited for.
        await connection.execute(text("PRAGMA busy_timeout = 1"))
    blocker = sqlite3.connect(tmp_path / "weir.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    feed.publish(1)
    running = start()
    log.append(*(proxy_log() for _ in range(500)))
    while "locked" not in (running.worker.status().kinds[0].last_error or ""):
        await asyncio.sleep(0.001)
    assert log.committed == {}

    blocker.execute("ROLLBACK")
    blocker.close()
    await log.until_all_committed()
    assert len(await rows(engine, records_proxy_logs)) == 500
    status = running.worker.status().kinds[0]
    assert (status.restarts, status.last_error) == (0, None)


async def test_a_database_that_is_away_pauses_and_drops_nothing(
    start: Start, log: FakeLog, feed: FakeFeed, engine: AsyncEngine
) -> None:
    async with engine.begin() as connection:
        for table in RECORDS.values():
            await connection.run_sync(table.drop)
    feed.publish(1)
    running = start()
    log.append(proxy_log(), analytics(), budget_usage())
    while not all(kind.last_error for kind in running.worker.status().kinds):
        await asyncio.sleep(0.001)
    assert log.committed == {}

    async with engine.begin() as connection:
        for table in RECORDS.values():
            await connection.run_sync(table.create)
    await log.until_all_committed()
    for table in RECORDS.values():
        assert len(await rows(engine, table)) == 1


@pytest.mark.parametrize("state", ["stopped", "failed"])
async def test_events_of_a_collector_that_is_not_ready_are_stored_with_the_failure(
    start: Start, log: FakeLog, feed: FakeFeed, host: FakeHost, engine: AsyncEngine, state: str
) -> None:
    host.put(proxy_log=handles).state = state
    log.append(proxy_log(event_id="e"))
    feed.publish(1, [plugin()])
    start()
    await log.until_all_committed()
    assert await stored_ids(engine, records_proxy_logs) == ["e"]
    (failure,) = await rows(engine, dead_letters)
    assert (failure.event_id, failure.collector, failure.tries) == ("e", "sink", 3)
    assert state in failure.reason


async def test_events_wait_for_a_collector_that_is_starting_whatever_their_number(
    start: Start, log: FakeLog, feed: FakeFeed, host: FakeHost, engine: AsyncEngine
) -> None:
    instance = host.put(proxy_log=handles)
    instance.state = "starting"
    log.append(*(proxy_log() for _ in range(20)))
    feed.publish(1, [plugin(max_tries=1)])
    running = start()
    while running.worker.status().kinds[0].lag != 20:
        await asyncio.sleep(0.001)
    instance.state = "ready"
    await log.until_all_committed()
    assert await stored_ids(engine, records_proxy_logs) == []
    assert len(instance.calls) == 20


async def test_a_worker_that_stops_gives_back_the_events_of_a_collector_that_is_starting(
    start: Start, log: FakeLog, feed: FakeFeed, host: FakeHost, engine: AsyncEngine
) -> None:
    host.put(proxy_log=handles).state = "starting"
    log.append(proxy_log())
    feed.publish(1, [plugin()])
    running = start()
    while running.worker.status().kinds[0].lag != 1:
        await asyncio.sleep(0.001)
    await running.stop()
    assert log.offset("weir.deciding.proxy-log") == 0
    assert await stored_ids(engine, records_proxy_logs) == []
