"""Dead letters and ranges on their way back to their collector, beside live traffic."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import delete, update
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.collectors.conftest import BOTH_DATABASES, WITHOUT_PROBES, Start, rows, stored_ids
from tests.collectors.sinks import Sink
from tests.fakes.event_log import FakeLog
from tests.fakes.gateway_events import plugin, proxy_log
from tests.fakes.plugin_host import FakeFeed, FakeHost

from weir_collectors.errors import NoDeadLetterError
from weir_collectors.redrive_requests import (
    Requested,
    request_collector,
    request_letter,
    request_range,
)
from weir_collectors.scrubbing import ERASED_REASON
from weir_collectors.tables import records_proxy_logs
from weir_collectors.tables_dead_letters import dead_letter_ranges, dead_letters
from weir_sdk import PermanentError
from weir_streams.events import ProxyLog
from weir_streams.log import Partition

DATABASES = BOTH_DATABASES

LOGS = Partition("weir.proxy-log.v1", "spool")


@pytest.fixture
def sink(host: FakeHost) -> Sink:
    sink = Sink()
    host.put(proxy_log=sink.take)
    return sink


async def ask(engine: AsyncEngine, request: Callable[..., Awaitable[Any]], wanted: Any) -> Any:
    async with engine.begin() as connection:
        return await request(connection, wanted, 77)


async def until_done(engine: AsyncEngine) -> None:
    """Wait until nothing is asked for any more."""
    for table in (dead_letters, dead_letter_ranges):
        while any(row.state == "requested" for row in await rows(engine, table)):
            await asyncio.sleep(0.005)


def in_a_spool(count: int, first: int = 0) -> list[ProxyLog]:
    """Events that know their place in the log, as those of a spool do."""
    return [proxy_log(spool_id="spool", spool_seq=first + number) for number in range(count)]


async def test_a_redriven_letter_reaches_its_collector_once_and_its_record_stays(
    start: Start, log: FakeLog, feed: FakeFeed, engine: AsyncEngine, sink: Sink
) -> None:
    sink.failing = PermanentError("the schema is wrong")
    log.append(proxy_log(event_id="e"))
    feed.publish(1, [plugin()])
    running = start()
    await log.until_all_committed()
    (letter,) = await rows(engine, dead_letters)
    assert (letter.state, letter.retryable) == ("failed", False)

    sink.returns()
    for _ in range(3):
        await ask(engine, request_letter, letter.id)
        await until_done(engine)
    (letter,) = await rows(engine, dead_letters)
    assert (letter.state, letter.redrive_error, letter.claimed_by) == ("redriven", None, None)
    assert sink.got == {"e": 1}
    assert await stored_ids(engine, records_proxy_logs) == ["e"]
    assert running.worker.status().collectors[0].redriven == 1


async def test_a_letter_that_fails_again_says_why_and_may_be_asked_for_again(
    start: Start, log: FakeLog, feed: FakeFeed, engine: AsyncEngine, sink: Sink
) -> None:
    sink.failing = PermanentError("the schema is wrong")
    log.append(proxy_log(event_id="e"))
    feed.publish(1, [plugin()])
    start()
    await log.until_all_committed()
    sink.failing = PermanentError("still wrong")
    assert await ask(engine, request_collector, "sink") == Requested(letters=1, ranges=0)
    await until_done(engine)
    (letter,) = await rows(engine, dead_letters)
    assert (letter.state, letter.redrive_error, letter.tries) == ("failed", "still wrong", 2)
    assert letter.reason == "the schema is wrong"
    assert (letter.reason_unquoted, letter.redrive_error_unquoted) == ("PermanentError", "PermanentError")


async def test_a_letter_that_was_erased_in_the_meantime_gets_no_words_that_may_quote_its_event(
    start: Start, log: FakeLog, feed: FakeFeed, engine: AsyncEngine, sink: Sink
) -> None:
    sink.failing = PermanentError("no")
    log.append(proxy_log(event_id="e"))
    feed.publish(1, [plugin()])
    start()
    await log.until_all_committed()
    async with engine.begin() as connection:
        await connection.execute(update(dead_letters).values(reason=ERASED_REASON))
    sink.failing = PermanentError("he asked: where do I live?")
    await ask(engine, request_collector, "sink")
    await until_done(engine)
    (letter,) = await rows(engine, dead_letters)
    assert (letter.state, letter.redrive_error, letter.tries) == ("failed", None, 2)
    assert letter.redrive_error_unquoted is None


async def test_while_the_sink_is_away_letters_are_given_back_after_one_of_them_was_tried(
    start: Start, log: FakeLog, feed: FakeFeed, engine: AsyncEngine, sink: Sink
) -> None:
    sink.failing = ValueError("no")
    log.append(*(proxy_log() for _ in range(200)))
    feed.publish(1, [plugin(max_tries=1)])
    start()
    await log.until_all_committed()
    sink.goes()
    calls = sink.calls
    await ask(engine, request_collector, "sink")
    await until_done(engine)
    letters = await rows(engine, dead_letters)
    assert {(row.state, row.redrive_error) for row in letters} == {("failed", "connection refused")}
    assert {row.redrive_error_unquoted for row in letters} == {"ConnectionError"}
    assert sink.calls == calls + 1


async def test_after_an_outage_and_a_redrive_a_sink_has_each_event_once(
    start: Start, log: FakeLog, feed: FakeFeed, engine: AsyncEngine, sink: Sink
) -> None:
    sink.goes()
    before = [proxy_log() for _ in range(300)]
    log.append(*before)
    feed.publish(1, [plugin()])
    start(settings=WITHOUT_PROBES)
    await log.until_all_committed()
    sink.returns()
    live = [proxy_log() for _ in range(300)]
    log.append(*live[:150])
    # Nobody has to wait for a probe: the redrive finds out that the sink is back.
    await ask(engine, request_collector, "sink")
    log.append(*live[150:])
    await log.until_all_committed()
    await until_done(engine)
    await ask(engine, request_collector, "sink")
    await until_done(engine)
    assert sink.got == {event.event_id: 1 for event in (*before, *live)}
    ranges = await rows(engine, dead_letter_ranges)
    assert {row.state for row in ranges} == {"redriven"}
    assert {(row.missing, row.failed) for row in ranges} == {(0, 0)}
    assert sum(row.redriven for row in ranges) == sum(row.events for row in ranges)
    assert await rows(engine, dead_letters) == []
    assert {event.event_id for event in before} <= set(await stored_ids(engine, records_proxy_logs))


async def test_an_open_range_that_is_asked_for_grows_no_more_and_a_new_one_begins(
    start: Start, log: FakeLog, feed: FakeFeed, engine: AsyncEngine, sink: Sink
) -> None:
    sink.goes()
    log.append(*(proxy_log() for _ in range(20)))
    feed.publish(1, [plugin()])
    start()
    await log.until_all_committed()
    (past,) = await rows(engine, dead_letter_ranges)
    await ask(engine, request_range, past.id)
    await until_done(engine)
    log.append(*(proxy_log() for _ in range(20)))
    await log.until_all_committed()
    first, second = await rows(engine, dead_letter_ranges)
    assert (first.last_offset, first.events, first.state) == (19, 20, "closed")
    assert (first.redrive_error, first.closed_at_us) == ("connection refused", 77)
    assert (second.first_offset, second.events, second.state) == (20, 20, "open")


async def test_an_event_of_a_range_that_is_refused_becomes_a_dead_letter_and_the_rest_goes_on(
    start: Start, log: FakeLog, feed: FakeFeed, engine: AsyncEngine, sink: Sink
) -> None:
    sink.goes()
    log.append(*(proxy_log(event_id=f"e{number}") for number in range(200)))
    feed.publish(1, [plugin(max_tries=2)])
    start()
    await log.until_all_committed()
    sink.returns()
    sink.refused["e150"] = PermanentError("not that one")
    await ask(engine, request_collector, "sink")
    await until_done(engine)
    (past,) = await rows(engine, dead_letter_ranges)
    assert (past.state, past.redriven, past.failed, past.missing) == ("redriven", 199, 1, 0)
    (letter,) = await rows(engine, dead_letters)
    assert (letter.event_id, letter.reason, letter.state) == ("e150", "not that one", "failed")


async def test_a_range_whose_sink_goes_again_keeps_what_was_done_and_goes_on_there(
    start: Start, log: FakeLog, feed: FakeFeed, engine: AsyncEngine, sink: Sink
) -> None:
    sink.goes()
    events = [proxy_log() for _ in range(300)]
    log.append(*events)
    feed.publish(1, [plugin()])
    start()
    await log.until_all_committed()
    sink.returns()
    sink.goes_after = 100
    await ask(engine, request_collector, "sink")
    await until_done(engine)
    (past,) = await rows(engine, dead_letter_ranges)
    assert (past.state, past.redrive_error) == ("closed", "connection refused")
    assert past.redriven == len(sink.got)
    assert past.redriven + past.failed == past.next_offset

    sink.returns()
    await ask(engine, request_collector, "sink")
    await until_done(engine)
    assert sink.got == {event.event_id: 1 for event in events}


async def test_what_retention_removed_comes_out_of_the_records_and_what_is_nowhere_is_counted(
    start: Start, log: FakeLog, feed: FakeFeed, engine: AsyncEngine, sink: Sink
) -> None:
    sink.goes()
    events = in_a_spool(100)
    log.append(*events)
    feed.publish(1, [plugin()])
    start()
    await log.until_all_committed()
    log.records[LOGS] = log.records[LOGS][40:]
    async with engine.begin() as connection:
        gone = [event.event_id for event in events[:10]]
        await connection.execute(delete(records_proxy_logs).where(records_proxy_logs.c.event_id.in_(gone)))
    sink.returns()
    await ask(engine, request_collector, "sink")
    await until_done(engine)
    assert sink.got == {event.event_id: 1 for event in events[10:]}
    (past,) = await rows(engine, dead_letter_ranges)
    assert (past.state, past.redriven, past.missing) == ("redriven", 90, 10)


async def test_a_request_waits_for_no_collector_that_is_not_there(
    start: Start, log: FakeLog, feed: FakeFeed, engine: AsyncEngine, sink: Sink
) -> None:
    sink.failing = ValueError("no")
    log.append(proxy_log())
    feed.publish(1, [plugin(max_tries=1)])
    start()
    await log.until_all_committed()
    sink.goes()
    log.append(*(proxy_log() for _ in range(20)))
    await log.until_all_committed()
    feed.publish(2)
    log.append(proxy_log())
    await log.until_all_committed()
    await ask(engine, request_collector, "sink")
    await until_done(engine)
    reasons = [
        row.redrive_error
        for row in (*await rows(engine, dead_letters), *await rows(engine, dead_letter_ranges))
    ]
    assert all("no active collector sink" in reason for reason in reasons)


async def test_a_request_waits_for_a_plugin_that_is_starting(
    start: Start, log: FakeLog, feed: FakeFeed, host: FakeHost, engine: AsyncEngine, sink: Sink
) -> None:
    sink.failing = ValueError("no")
    log.append(proxy_log(event_id="e"))
    feed.publish(1, [plugin(max_tries=1)])
    start()
    await log.until_all_committed()
    sink.returns()
    host.instances[1].state = "starting"
    await ask(engine, request_collector, "sink")
    for _ in range(20):
        # Looks again and again, each time in vain: the letter stays asked for.
        await asyncio.sleep(0.01)
    (letter,) = await rows(engine, dead_letters)
    assert letter.state == "requested"
    host.instances[1].state = "ready"
    await until_done(engine)
    assert sink.got == {"e": 1}


async def test_what_a_dead_process_had_taken_on_is_gone_on_with_by_its_next_start(
    start: Start, log: FakeLog, feed: FakeFeed, engine: AsyncEngine, sink: Sink
) -> None:
    sink.failing = ValueError("no")
    log.append(*(proxy_log() for _ in range(10)))
    feed.publish(1, [plugin(max_tries=1)])
    running = start()
    await log.until_all_committed()
    await running.stop()
    await ask(engine, request_collector, "sink")
    async with engine.begin() as connection:
        taken = {"claimed_by": "worker", "claimed_until_us": 2**62}
        await connection.execute(update(dead_letters).values(taken))
    sink.returns()
    start()
    await until_done(engine)
    assert len(sink.got) == 10


async def test_what_another_process_has_taken_on_is_left_to_it_until_its_time_is_over(
    start: Start, log: FakeLog, feed: FakeFeed, engine: AsyncEngine, sink: Sink
) -> None:
    sink.failing = ValueError("no")
    log.append(proxy_log(event_id="theirs"), proxy_log(event_id="ours"))
    feed.publish(1, [plugin(max_tries=1)])
    running = start()
    await log.until_all_committed()
    await running.stop()
    await ask(engine, request_collector, "sink")
    async with engine.begin() as connection:
        for event_id, until_us in (("theirs", 2**62), ("ours", 1)):
            await connection.execute(
                update(dead_letters)
                .where(dead_letters.c.event_id == event_id)
                .values(claimed_by="other", claimed_until_us=until_us)
            )
    sink.returns()
    start()
    while not sink.got:
        await asyncio.sleep(0.005)
    assert sink.got == {"ours": 1}


async def test_a_letter_whose_event_is_not_known_any_more_says_so(
    start: Start, log: FakeLog, feed: FakeFeed, engine: AsyncEngine, sink: Sink
) -> None:
    sink.failing = ValueError("no")
    log.append(proxy_log())
    feed.publish(1, [plugin(max_tries=1)])
    start()
    await log.until_all_committed()
    async with engine.begin() as connection:
        await connection.execute(update(dead_letters).values(value=None))
    await ask(engine, request_collector, "sink")
    await until_done(engine)
    (letter,) = await rows(engine, dead_letters)
    assert "not known any more" in letter.redrive_error


@pytest.mark.parametrize("request_one", [request_letter, request_range])
async def test_what_does_not_exist_cannot_be_asked_for(
    engine: AsyncEngine, request_one: Callable[..., Awaitable[Any]]
) -> None:
    with pytest.raises(NoDeadLetterError, match="id 5"):
        await ask(engine, request_one, 5)
