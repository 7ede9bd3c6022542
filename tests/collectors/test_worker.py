"""The collector process: configuration, restarts, stopping, and what it reports."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.collectors.conftest import SETTINGS, Start, stored_ids
from tests.fakes.event_log import FakeLog
from tests.fakes.gateway_events import analytics, plugin, proxy_log
from tests.fakes.plugin_host import FakeFeed, FakeHost, handles, hangs, passes, raises

from weir_collectors.consuming import GroupSettings
from weir_collectors.kinds import DECIDING_GROUPS, EventKind
from weir_collectors.records import RecordStore
from weir_collectors.tables import records_proxy_logs
from weir_core.clock import SystemClock, rfc3339
from weir_sdk import DataCollectionResponse
from weir_streams.errors import LogUnavailableError
from weir_streams.log import Partition

LOGS = Partition("weir.proxy-log.v1", "spool")


def test_every_topic_has_its_deciding_group() -> None:
    assert DECIDING_GROUPS == {
        "weir.proxy-log.v1": "weir.deciding.proxy-log",
        "weir.analytics.v1": "weir.deciding.analytics",
        "weir.budget-usage.v1": "weir.deciding.budget-usage",
    }


async def test_nothing_is_consumed_before_the_first_configuration(
    start: Start, log: FakeLog, feed: FakeFeed, host: FakeHost, engine: AsyncEngine
) -> None:
    host.put(proxy_log=handles)
    log.append(proxy_log())
    running = start()
    for _ in range(20):
        await asyncio.sleep(0)
    assert log.open_consumers == 0
    assert running.worker.status().revision is None

    feed.publish(1, [plugin()])
    await log.until_all_committed()
    assert await stored_ids(engine, records_proxy_logs) == []


async def test_a_new_configuration_applies_to_the_events_after_it(
    start: Start, log: FakeLog, feed: FakeFeed, host: FakeHost, engine: AsyncEngine
) -> None:
    host.put(1, proxy_log=handles)
    feed.publish(1, [plugin()])
    running = start()
    log.append(proxy_log(event_id="handled"))
    await log.until_all_committed()

    feed.publish(2, [plugin(is_active=False)])
    while running.worker.status().revision != 2:
        await asyncio.sleep(0)
    log.append(proxy_log(event_id="stored"))
    await log.until_all_committed()
    assert await stored_ids(engine, records_proxy_logs) == ["stored"]
    assert host.applied == [1, 2]


async def test_a_collector_is_not_asked_after_the_host_may_have_stopped_it_nor_before_it_started(
    start: Start, feed: FakeFeed, host: FakeHost
) -> None:
    asked: list[list[str]] = []
    feed.publish(1, [plugin(1, "goes"), plugin(2, "stays")])
    running = start()
    while running.worker.status().revision != 1:
        await asyncio.sleep(0)
    host.asked_when_applied = lambda: asked.append(
        [item.plugin.slug for item in running.worker._roster.deciding(EventKind.PROXY_LOG)]
    )
    feed.publish(2, [plugin(2, "stays"), plugin(3, "comes")])
    while running.worker.status().revision != 2:
        await asyncio.sleep(0)
    assert asked == [["stays"]]


async def test_plugins_can_read_the_configuration_they_are_started_with(
    start: Start, feed: FakeFeed, host: FakeHost
) -> None:
    running = start()
    read: list[int] = []
    host.asked_when_applied = lambda: read.append(running.worker.snapshot.revision)
    assert running.worker.snapshot.objects == ()
    feed.publish(4)
    while running.worker.status().revision != 4:
        await asyncio.sleep(0)
    assert read == [4]


async def test_a_configuration_that_cannot_be_applied_is_tried_again_and_the_last_stays(
    start: Start, log: FakeLog, feed: FakeFeed, host: FakeHost, engine: AsyncEngine
) -> None:
    feed.publish(1)
    running = start()
    failures = iter([OSError("no more processes"), OSError("still none")])

    def fail_twice() -> None:
        for error in failures:
            raise error

    host.asked_when_applied = fail_twice
    while running.worker.status().revision != 1:
        await asyncio.sleep(0.001)
    log.append(proxy_log(event_id="e"))
    await log.until_all_committed()
    assert await stored_ids(engine, records_proxy_logs) == ["e"]


async def test_a_group_whose_log_fails_starts_anew(
    start: Start, log: FakeLog, feed: FakeFeed, engine: AsyncEngine
) -> None:
    log.polls_to_fail = [LogUnavailableError("unreadable") for _ in range(5)]
    log.append(proxy_log(event_id="e"))
    feed.publish(1)
    running = start()
    await log.until_all_committed()
    assert await stored_ids(engine, records_proxy_logs) == ["e"]
    await running.stop()
    assert sum(kind.restarts for kind in running.worker.status().kinds) == 5
    assert log.open_consumers == 0


async def test_stopping_finishes_what_is_in_flight(
    start: Start, log: FakeLog, feed: FakeFeed, host: FakeHost, engine: AsyncEngine
) -> None:
    release = asyncio.Event()

    async def waits(_message: Any) -> DataCollectionResponse:
        await release.wait()
        return DataCollectionResponse()

    instance = host.put(proxy_log=waits)
    log.append(*(proxy_log() for _ in range(10)))
    feed.publish(1, [plugin()])
    running = start()
    while len(instance.calls) < 10:
        await asyncio.sleep(0.001)
    stopping = asyncio.create_task(running.stop())
    await asyncio.sleep(0)
    release.set()
    await stopping
    assert log.offset(EventKind.PROXY_LOG.group) == 10
    assert len(await stored_ids(engine, records_proxy_logs)) == 10
    assert log.open_consumers == 0


async def test_stopping_abandons_what_does_not_finish_and_commits_only_what_did(
    start: Start, log: FakeLog, feed: FakeFeed, host: FakeHost, engine: AsyncEngine
) -> None:
    async def hangs_on_the_third(message: Any) -> DataCollectionResponse:
        return await (hangs(message) if message.event_id == "third" else passes(message))

    host.put(proxy_log=hangs_on_the_third)
    log.append(*(proxy_log(event_id=name) for name in ("first", "second", "third", "fourth")))
    feed.publish(1, [plugin()])
    running = start(settings=msgspec.structs.replace(SETTINGS, groups=GroupSettings(grace_s=0.01)))
    await log.until_committed(EventKind.PROXY_LOG.group, LOGS, 2)
    await running.stop()
    assert log.offset(EventKind.PROXY_LOG.group) == 2

    host.put(proxy_log=passes)
    start()
    await log.until_all_committed()
    assert sorted(await stored_ids(engine, records_proxy_logs)) == ["first", "fourth", "second", "third"]


async def test_stopping_does_not_wait_for_a_dead_database(
    start: Start, log: FakeLog, feed: FakeFeed, engine: AsyncEngine
) -> None:
    async with engine.begin() as connection:
        await connection.run_sync(records_proxy_logs.drop)
    log.append(proxy_log())
    feed.publish(1)
    running = start(settings=msgspec.structs.replace(SETTINGS, groups=GroupSettings(grace_s=0.01)))
    while not running.worker.status().kinds[0].last_error:
        await asyncio.sleep(0.001)
    await running.stop()
    assert log.offset(EventKind.PROXY_LOG.group) == 0
    assert log.open_consumers == 0


async def test_stopping_before_the_first_configuration_ends_at_once(start: Start) -> None:
    await start().stop()


async def test_stopping_does_not_wait_for_a_group_to_let_it_in(
    start: Start, log: FakeLog, feed: FakeFeed
) -> None:
    log.may_join.clear()
    feed.publish(1)
    running = start()
    while running.worker.status().revision != 1:
        await asyncio.sleep(0.001)
    await running.stop()
    assert log.open_consumers == 0


async def test_the_status_says_what_each_collector_and_each_group_did(
    start: Start, log: FakeLog, feed: FakeFeed, host: FakeHost
) -> None:
    host.put(1, proxy_log=handles)
    host.put(2, proxy_log=raises)
    host.put(3, proxy_log=passes).reason = "as configured"
    log.append(proxy_log(llm_id=1), proxy_log(llm_id=2), analytics())
    feed.publish(
        7,
        [
            plugin(1, "handles"),
            plugin(2, "raises"),
            plugin(3, "passes"),
            plugin(4, "hurried", timeout_ms=0),
        ],
    )
    running = start()
    await log.until_all_committed()
    await running.stop()
    status = running.worker.status()
    assert status.revision == 7
    by_name = {item.name: item for item in status.collectors}
    handled, failed, passed, refused = (by_name[name] for name in ("handles", "raises", "passes", "hurried"))
    assert (handled.handled, handled.failed, handled.stored, handled.state) == (2, 0, 0, "ready")
    assert (failed.handled, failed.failed, failed.last_error) == (0, 2, "the sink choked")
    assert (passed.passed, passed.failed, passed.reason) == (2, 0, "as configured")
    assert (refused.state, refused.failed) == ("failed", 0)
    assert "timeout_ms" in refused.reason
    logs, usage, _budget = status.kinds
    assert (logs.group, logs.decided, logs.stored) == ("weir.deciding.proxy-log", 2, 0)
    assert (usage.decided, usage.stored) == (1, 1)
    assert msgspec.json.decode(msgspec.json.encode(status))["kinds"][0]["kind"] == "proxy-log"


async def test_the_lag_is_what_a_group_has_still_to_commit(
    start: Start, log: FakeLog, feed: FakeFeed, host: FakeHost, store: RecordStore
) -> None:
    host.put(analytics=hangs)
    feed.publish(1, [plugin()])
    log.append(*(analytics() for _ in range(12)))
    running = start()
    status = running.worker.status()
    assert {group.lag for group in status.kinds} == {None}, "nothing has been counted"
    while running.worker.status().kinds[1].lag != 12:
        await asyncio.sleep(0.001)
    assert running.worker.status().collectors[0].lag == 12


async def test_a_group_goes_on_while_nobody_can_say_how_far_behind_it_is(
    start: Start, log: FakeLog, feed: FakeFeed, engine: AsyncEngine
) -> None:
    log.lags_to_fail = [LogUnavailableError("no broker answers") for _ in range(12)]
    feed.publish(1)
    running = start()
    while log.lags_to_fail:
        await asyncio.sleep(0.001)
    log.append(proxy_log(event_id="e"))
    await log.until_all_committed()
    assert await stored_ids(engine, records_proxy_logs) == ["e"]
    assert [kind.restarts for kind in running.worker.status().kinds] == [0, 0, 0]


async def test_a_group_whose_oldest_event_is_past_half_of_its_topics_retention_says_so(
    start: Start, log: FakeLog, feed: FakeFeed, host: FakeHost
) -> None:
    freed = asyncio.Event()

    async def waits(_message: Any) -> DataCollectionResponse:
        await freed.wait()
        return DataCollectionResponse(handled=True)

    host.put(proxy_log=waits, analytics=handles)
    feed.publish(1, [plugin(timeout_ms=60_000)])
    groups = msgspec.structs.replace(SETTINGS.groups, retention_s={LOGS.topic: 7200.0})
    running = start(settings=msgspec.structs.replace(SETTINGS, groups=groups))
    old, new = SystemClock().wall_us() - 5400 * 1_000_000, SystemClock().wall_us()
    log.append(proxy_log(timestamp=rfc3339(old)), proxy_log(timestamp=rfc3339(new)))

    while not (sink := running.worker.status().collectors[0:1]) or not sink[0].late:
        await asyncio.sleep(0.005)
    by_kind = {group.kind: group for group in running.worker.status().kinds}
    assert sink[0].lag_s == by_kind["proxy-log"].lag_s >= 5400
    assert not by_kind["analytics"].late
    freed.set()
    await log.until_all_committed()
    while running.worker.status().collectors[0].late:
        await asyncio.sleep(0.005)
