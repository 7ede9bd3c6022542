"""A time range of the log, shown to one collector again or for the first time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.collectors.conftest import BOTH_DATABASES, Start, rows, stored_ids
from tests.collectors.sinks import Sink
from tests.fakes.event_log import FakeLog
from tests.fakes.gateway_events import MOMENT_US, plugin, proxy_log
from tests.fakes.plugin_host import FakeFeed, FakeHost, handles

from weir_collectors.replays import Replay, Replaying, request_replay
from weir_collectors.tables import records_proxy_logs
from weir_collectors.tables_dead_letters import dead_letter_ranges, dead_letters
from weir_core.clock import rfc3339
from weir_streams.log import Bounds, Partition

DATABASES = BOTH_DATABASES

LOGS = Partition("weir.proxy-log.v1", "spool")
SECOND = 1_000_000
RANGE = Replay("new", MOMENT_US + 10 * SECOND, MOMENT_US + 20 * SECOND)


@pytest.fixture
def new(host: FakeHost) -> Sink:
    sink = Sink()
    host.put(1, proxy_log=handles)
    host.put(2, proxy_log=sink.take)
    return sink


async def logged(start: Start, log: FakeLog, feed: FakeFeed, *, pages: int = 1) -> None:
    """One event for each of 30 seconds, all handled by another collector before the new one is there."""
    feed.publish(1, [plugin(1, "old")])
    running = start()
    for second in range(30):
        stamp = rfc3339(MOMENT_US + second * SECOND)
        log.append(*(proxy_log(event_id=f"e{second}.{number}", timestamp=stamp) for number in range(pages)))
    await log.until_all_committed()
    feed.publish(2, [plugin(1, "old"), plugin(2, "new", max_tries=1)])
    while running.worker.status().revision != 2:
        await asyncio.sleep(0)


async def ask(engine: AsyncEngine, log: FakeLog, **options: Any) -> Replaying:
    places = {LOGS: Bounds(0, len(log.records[LOGS]))}
    async with engine.begin() as connection:
        return await request_replay(connection, RANGE, places, 77, **options)


async def settled(engine: AsyncEngine) -> Any:
    """The newest range, once nothing is asked for any more."""
    while True:
        found = await rows(engine, dead_letter_ranges)
        if all(row.state != "requested" for row in found):
            return found[-1]
        await asyncio.sleep(0.005)


async def test_exactly_the_events_of_the_range_reach_the_collector_and_nobody_else(
    start: Start, log: FakeLog, feed: FakeFeed, engine: AsyncEngine, new: Sink, host: FakeHost
) -> None:
    await logged(start, log, feed)
    offsets = dict(log.committed)
    assert await ask(engine, log) == Replaying(begun=1)
    row = await settled(engine)
    assert new.got == {f"e{second}.0": 1 for second in range(10, 20)}
    assert (row.state, row.redriven, row.failed, row.missing) == ("redriven", 10, 0, 0)
    assert row.events == 10
    assert row.reason == "replay of 2027-01-15T08:00:10.000000Z to 2027-01-15T08:00:20.000000Z"
    assert log.committed == offsets
    assert len(host.instances[1].calls) == 30
    assert await stored_ids(engine, records_proxy_logs) == []


async def test_asking_twice_replays_once_unless_it_is_to_be_done_again(
    start: Start, log: FakeLog, feed: FakeFeed, engine: AsyncEngine, new: Sink
) -> None:
    await logged(start, log, feed)
    first, second = await ask(engine, log), await ask(engine, log)
    assert (first, second) in ((Replaying(begun=1), Replaying(under_way=1)), (first, Replaying(done=1)))
    await settled(engine)
    assert await ask(engine, log) == Replaying(done=1)
    assert set(new.got.values()) == {1}
    assert await ask(engine, log, again=True) == Replaying(begun=1)
    await settled(engine)
    assert set(new.got.values()) == {2}


async def test_a_replay_whose_sink_goes_away_goes_on_where_it_stopped(
    start: Start, log: FakeLog, feed: FakeFeed, engine: AsyncEngine, new: Sink
) -> None:
    await logged(start, log, feed, pages=50)
    new.goes_after = 200
    await ask(engine, log)
    row = await settled(engine)
    assert row.state == "closed"
    assert "connection refused" in row.redrive_error
    before = len(new.got)
    new.returns()
    assert await ask(engine, log) == Replaying(continued=1)
    row = await settled(engine)
    assert row.state == "redriven"
    assert before < 500
    assert len(new.got) == 500


async def test_what_the_collector_refuses_is_a_dead_letter(
    start: Start, log: FakeLog, feed: FakeFeed, engine: AsyncEngine, new: Sink
) -> None:
    await logged(start, log, feed)
    new.refused["e12.0"] = ValueError("no")
    await ask(engine, log)
    row = await settled(engine)
    assert (row.redriven, row.failed) == (9, 1)
    (letter,) = await rows(engine, dead_letters)
    assert (letter.event_id, letter.collector) == ("e12.0", "new")
