"""A sink that goes away: who notices, what is stored, and what waits for a redrive."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.collectors.conftest import BOTH_DATABASES, WITHOUT_PROBES, Running, Start, rows, stored_ids
from tests.collectors.sinks import Sink
from tests.fakes.event_log import FakeLog
from tests.fakes.gateway_events import plugin, proxy_log
from tests.fakes.plugin_host import FakeFeed, FakeHost, handles

from weir_collectors.kinds import EventKind
from weir_collectors.tables import records_proxy_logs
from weir_collectors.tables_dead_letters import dead_letter_ranges, dead_letters
from weir_streams.log import Partition

DATABASES = BOTH_DATABASES

LOGS = Partition("weir.proxy-log.v1", "spool")
DECIDING = EventKind.PROXY_LOG.group


@pytest.fixture
def sink() -> Sink:
    return Sink()


async def lets_past(engine: AsyncEngine) -> int:
    return sum(row.events for row in await rows(engine, dead_letter_ranges))


async def until_paused(running: Running) -> None:
    while not any(
        item.paused for collector in running.worker.status().collectors for item in collector.breakers
    ):
        await asyncio.sleep(0.001)


async def test_while_a_sink_is_away_its_events_are_stored_and_make_one_range(
    start: Start, log: FakeLog, feed: FakeFeed, host: FakeHost, engine: AsyncEngine, sink: Sink
) -> None:
    host.put(proxy_log=sink.take)
    sink.goes()
    events = [proxy_log() for _ in range(500)]
    log.append(*events)
    feed.publish(1, [plugin()])
    start(settings=WITHOUT_PROBES)
    await log.until_all_committed()
    assert set(await stored_ids(engine, records_proxy_logs)) == {event.event_id for event in events}
    (past,) = await rows(engine, dead_letter_ranges)
    assert (past.collector, past.kind, past.topic, past.partition) == ("sink", "proxy-log", *LOGS)
    assert (past.first_offset, past.last_offset, past.events, past.state) == (0, 499, 500, "open")
    assert ("connection refused" in past.reason, past.reason_unquoted) == (True, "ConnectionError")
    assert await rows(engine, dead_letters) == []
    # Far from three tries for each: those that open the breaker, and what was under way then.
    assert sink.calls < 100


async def test_a_batch_that_finds_the_sink_away_counts_as_one_call(
    start: Start, log: FakeLog, feed: FakeFeed, host: FakeHost, engine: AsyncEngine, sink: Sink
) -> None:
    host.put(batch=sink.take_batch)
    sink.goes()
    log.append(*(proxy_log() for _ in range(500)))
    feed.publish(1, [plugin(window=50)])
    start(settings=WITHOUT_PROBES)
    await log.until_all_committed()
    assert await lets_past(engine) == 500
    assert sink.calls < 60


async def test_a_sink_that_returns_gets_the_events_after_it_and_the_range_ends(
    start: Start, log: FakeLog, feed: FakeFeed, host: FakeHost, engine: AsyncEngine, sink: Sink
) -> None:
    host.put(proxy_log=sink.take)
    sink.goes()
    log.append(*(proxy_log() for _ in range(50)))
    feed.publish(1, [plugin()])
    running = start()
    await log.until_all_committed()
    (breaker,) = running.worker.status().collectors[0].breakers
    assert (breaker.kind, breaker.paused) == ("proxy-log", False)

    sink.returns()
    while running.worker.status().collectors[0].breakers:
        log.append(proxy_log())
        await asyncio.sleep(0.005)
    log.append(*(proxy_log(event_id=f"after-{n}") for n in range(10)))
    await log.until_all_committed()
    assert all(sink.got[f"after-{n}"] == 1 for n in range(10))
    assert {row.state for row in await rows(engine, dead_letter_ranges)} == {"closed"}
    everything = len(log.records[LOGS])
    assert len(sink.got) + await lets_past(engine) == everything
    assert await lets_past(engine) == len(await stored_ids(engine, records_proxy_logs))


async def test_what_another_collector_handled_is_not_stored_although_a_sink_is_away(
    start: Start, log: FakeLog, feed: FakeFeed, host: FakeHost, engine: AsyncEngine, sink: Sink
) -> None:
    host.put(1, proxy_log=sink.take)
    host.put(2, proxy_log=handles)
    sink.goes()
    log.append(*(proxy_log() for _ in range(100)))
    feed.publish(1, [plugin(1, "away"), plugin(2, "there")])
    start()
    await log.until_all_committed()
    assert await stored_ids(engine, records_proxy_logs) == []
    assert await lets_past(engine) == 100


async def test_refusals_of_single_events_are_dead_letters_and_open_no_breaker(
    start: Start, log: FakeLog, feed: FakeFeed, host: FakeHost, engine: AsyncEngine, sink: Sink
) -> None:
    host.put(proxy_log=sink.take)
    sink.failing = ValueError("not that one")
    log.append(*(proxy_log() for _ in range(50)))
    feed.publish(1, [plugin(max_tries=2)])
    running = start()
    await log.until_all_committed()
    assert len(await rows(engine, dead_letters)) == 50
    assert await rows(engine, dead_letter_ranges) == []
    assert sink.calls == 100
    assert running.worker.status().collectors[0].breakers == ()


async def test_with_pause_the_kind_waits_for_the_sink_and_nothing_is_skipped(
    start: Start, log: FakeLog, feed: FakeFeed, host: FakeHost, engine: AsyncEngine, sink: Sink
) -> None:
    host.put(proxy_log=sink.take)
    sink.goes()
    events = [proxy_log() for _ in range(200)]
    log.append(*events)
    feed.publish(1, [plugin(on_outage="pause")])
    running = start()
    await until_paused(running)
    while running.worker.status().kinds[0].lag != 200:
        await asyncio.sleep(0.001)
    assert log.offset(DECIDING) == 0

    sink.returns()
    await log.until_all_committed()
    assert sink.got == {event.event_id: 1 for event in events}
    assert await stored_ids(engine, records_proxy_logs) == []
    assert await rows(engine, dead_letters) == await rows(engine, dead_letter_ranges) == []


async def test_a_paused_kind_does_not_hold_up_the_stop_and_its_events_come_again(
    start: Start, log: FakeLog, feed: FakeFeed, host: FakeHost, engine: AsyncEngine, sink: Sink
) -> None:
    host.put(proxy_log=sink.take)
    sink.goes()
    log.append(*(proxy_log() for _ in range(20)))
    feed.publish(1, [plugin(on_outage="pause")])
    running = start()
    await until_paused(running)
    async with asyncio.timeout(3):
        await running.stop()
    assert log.offset(DECIDING) == 0
    assert await rows(engine, dead_letters) == []

    sink.returns()
    start()
    await log.until_all_committed()
    assert len(sink.got) == 20


async def test_a_paused_collector_that_is_switched_off_lets_its_kind_go_on_and_leaves_dead_letters(
    start: Start, log: FakeLog, feed: FakeFeed, host: FakeHost, engine: AsyncEngine, sink: Sink
) -> None:
    host.put(proxy_log=sink.take)
    sink.goes()
    log.append(*(proxy_log() for _ in range(20)))
    feed.publish(1, [plugin(on_outage="pause")])
    running = start()
    await until_paused(running)
    feed.publish(2, [])
    await log.until_all_committed()
    assert len(await stored_ids(engine, records_proxy_logs)) == 20
    assert {row.collector for row in await rows(engine, dead_letters)} == {"sink"}
    assert len(await rows(engine, dead_letters)) == 20


async def test_a_paused_collector_that_is_changed_hands_its_events_to_its_new_form(
    start: Start, log: FakeLog, feed: FakeFeed, host: FakeHost, engine: AsyncEngine, sink: Sink
) -> None:
    host.put(proxy_log=sink.take)
    sink.goes()
    events = [proxy_log() for _ in range(20)]
    log.append(*events)
    feed.publish(1, [plugin(on_outage="pause")])
    running = start()
    await until_paused(running)
    sink.returns()
    feed.publish(2, [plugin(on_outage="pause", window=7)])
    await log.until_all_committed()
    assert sink.got == {event.event_id: 1 for event in events}


async def test_a_huge_error_text_is_cut_wherever_it_is_kept(
    start: Start, log: FakeLog, feed: FakeFeed, host: FakeHost, engine: AsyncEngine, sink: Sink
) -> None:
    host.put(proxy_log=sink.take)
    sink.failing = ValueError("x" * 10_000_000)
    log.append(proxy_log())
    feed.publish(1, [plugin(max_tries=1)])
    running = start()
    await log.until_all_committed()
    (letter,) = await rows(engine, dead_letters)
    assert len(letter.reason) == 2000
    assert len(running.worker.status().collectors[0].last_error or "") == 2000


async def test_a_collector_that_answers_for_the_wrong_number_of_events_stops_nobody(
    start: Start, log: FakeLog, feed: FakeFeed, host: FakeHost, engine: AsyncEngine
) -> None:
    async def lies(_messages: Any) -> list[Any]:
        return []

    host.put(1, batch=lies)
    host.put(2, proxy_log=handles)
    log.append(*(proxy_log() for _ in range(10)))
    feed.publish(1, [plugin(1, "liar"), plugin(2, "sink")])
    start()
    await log.until_all_committed()
    assert await stored_ids(engine, records_proxy_logs) == []
    assert len(await rows(engine, dead_letters)) == 10
