"""Delivering edge payloads: who gets one, what is tried again and when, and what becomes a dead letter."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.streams.support import RecordingLogger

from weir_collectors.database import create_engine
from weir_collectors.retention import Pruner, RetentionSettings
from weir_control.migrations import upgrade
from weir_control.studio.delivering import Verdict
from weir_control.studio.dispatching import RETRY_AFTER_S, Dispatcher
from weir_control.studio.inbox import Arrival, Inbox, Lane, Waiting, dead_letters_of, lane_of, revive
from weir_core.clock import rfc3339
from weir_streams.payloads import EdgePayload, encode_payload

DAY_US = 24 * 3600 * 1_000_000
START_US = 1_790_000_000 * 1_000_000
HANDLED = Verdict("handled", handled_by=1)
FAILED = Verdict("failed", "the plugin raised")
NOBODY = Verdict("nobody", "starting")


class Clock:
    """Moves when somebody sleeps on it."""

    def __init__(self) -> None:
        self.now_us = START_US
        self.slept: list[float] = []

    def wall_us(self) -> int:
        return self.now_us

    def monotonic(self) -> float:
        return self.now_us / 1e6

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_us += round(seconds * 1_000_000)
        await asyncio.sleep(0)


@dataclass
class Plugins:
    """Answers for studio plugins as a test says, payload by payload."""

    answer: Callable[[str, int], Verdict] = lambda _, __: HANDLED
    asked: list[str] = field(default_factory=list)

    async def attempt(self, waiting: Waiting, declined: set[int]) -> Verdict:
        self.asked.append(waiting.payload.event_id)
        await asyncio.sleep(0)
        return self.answer(waiting.payload.event_id, self.asked.count(waiting.payload.event_id))


@dataclass
class Results:
    written: list[tuple[str, str, int, bool]] = field(default_factory=list)

    async def write(self, waiting: Waiting, verdict: Verdict, *, tries: int, dead_letter: bool) -> None:
        self.written.append((waiting.payload.event_id, verdict.error, tries, dead_letter))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    url = f"sqlite:///{tmp_path / 'weir.db'}"
    await upgrade(url)
    engine = create_engine(url)
    yield engine
    await engine.dispose()


@pytest.fixture
def inbox(engine: AsyncEngine, clock: Clock) -> Inbox:
    return Inbox(engine, clock)


@pytest.fixture
def plugins() -> Plugins:
    return Plugins()


@pytest.fixture
def results() -> Results:
    return Results()


@pytest.fixture
async def dispatcher(
    inbox: Inbox, plugins: Plugins, results: Results, clock: Clock
) -> AsyncIterator[Dispatcher]:
    dispatcher = Dispatcher(
        inbox,
        plugins,  # type: ignore[arg-type]  # stands in for the plugins' side
        results,
        clock=clock,
        logger=RecordingLogger(),
        sleep=clock.sleep,
    )
    yield dispatcher
    await dispatcher.close()


def arrival(name: str, plugin_id: int = 7, edge_id: str = "edge-1", sent_at_us: int = START_US) -> Arrival:
    payload = EdgePayload(
        event_id=name,
        timestamp=rfc3339(sent_at_us),
        edge_id=edge_id,
        edge_namespace="",
        plugin_id=plugin_id,
        payload="{}",
    )
    return Arrival(payload, sent_at_us, encode_payload(payload).value)


async def deliver(dispatcher: Dispatcher, inbox: Inbox, *arrivals: Arrival) -> None:
    """Take payloads in, and let the lanes run until they have nothing left to do."""
    dispatcher.wake(await inbox.take_in(arrivals))
    while dispatcher.status.lanes:
        await asyncio.sleep(0.001)


async def test_payloads_of_a_lane_are_delivered_in_order_and_forgotten(
    dispatcher: Dispatcher, inbox: Inbox, plugins: Plugins, results: Results
) -> None:
    names = [f"p-{number}" for number in range(40)]
    await deliver(dispatcher, inbox, *map(arrival, names))
    assert plugins.asked == names
    assert [name for name, *_ in results.written] == names
    assert await inbox.counts() == {}


async def test_a_payload_that_comes_again_while_it_waits_is_one(inbox: Inbox) -> None:
    await inbox.take_in([arrival("p-1"), arrival("p-2")])
    await inbox.take_in([arrival("p-2"), arrival("p-1"), arrival("p-3")])
    waiting = await inbox.next_of(lane_of(arrival("p-1").payload), 10)
    assert [one.payload.event_id for one in waiting] == ["p-1", "p-2", "p-3"]


async def test_a_failing_payload_is_tried_eight_times_more_over_ten_minutes_and_then_the_next_goes_on(
    dispatcher: Dispatcher, inbox: Inbox, plugins: Plugins, results: Results, clock: Clock
) -> None:
    plugins.answer = lambda name, _: FAILED if name == "bad" else HANDLED
    await deliver(dispatcher, inbox, arrival("bad"), arrival("good"))
    assert plugins.asked == ["bad"] * 9 + ["good"]
    assert clock.slept == list(RETRY_AFTER_S)
    assert 590 <= sum(clock.slept) <= 610
    assert results.written == [("bad", "the plugin raised", 9, True), ("good", "", 1, False)]
    assert await inbox.counts() == {"failed": 1}


async def test_a_payload_that_succeeds_in_the_end_is_no_dead_letter(
    dispatcher: Dispatcher, inbox: Inbox, plugins: Plugins, results: Results
) -> None:
    plugins.answer = lambda _, time: HANDLED if time == 3 else FAILED
    await deliver(dispatcher, inbox, arrival("p-1"))
    assert results.written == [("p-1", "", 3, False)]


async def test_handled_with_an_error_is_not_tried_again(
    dispatcher: Dispatcher, inbox: Inbox, plugins: Plugins, results: Results
) -> None:
    plugins.answer = lambda _, __: Verdict("handled", "no such cache", 1)
    await deliver(dispatcher, inbox, arrival("p-1"))
    assert (plugins.asked, results.written) == (["p-1"], [("p-1", "no such cache", 1, False)])


async def test_what_every_plugin_declines_is_a_dead_letter_at_once(
    dispatcher: Dispatcher, inbox: Inbox, plugins: Plugins, results: Results
) -> None:
    plugins.answer = lambda _, __: Verdict("declined", "nobody wants it")
    await deliver(dispatcher, inbox, arrival("p-1"))
    assert results.written == [("p-1", "nobody wants it", 1, True)]


async def test_a_payload_that_nobody_can_be_asked_about_waits_a_day_and_is_then_a_dead_letter(
    dispatcher: Dispatcher, inbox: Inbox, plugins: Plugins, results: Results, clock: Clock
) -> None:
    plugins.answer = lambda _, time: NOBODY
    await inbox.take_in([arrival("p-1")])
    clock.now_us = START_US + DAY_US - 3_000_000
    dispatcher.wake(await inbox.lanes())
    while dispatcher.status.lanes:
        await asyncio.sleep(0.001)
    assert len(plugins.asked) == 4
    assert results.written == [("p-1", "undelivered for 24 hours: starting", 0, True)]
    assert await inbox.counts() == {"failed": 1}


async def test_what_a_payload_waits_for_is_kept_with_it(
    dispatcher: Dispatcher, inbox: Inbox, plugins: Plugins, results: Results
) -> None:
    seen: list[tuple[str, int]] = []
    attempt = plugins.attempt

    async def look_then_attempt(waiting: Waiting, declined: set[int]) -> Verdict:
        kept = await inbox.next_of(lane_of(waiting.payload), 1)
        seen.extend((one.last_error, one.tries) for one in kept)
        return await attempt(waiting, declined)

    plugins.attempt = look_then_attempt  # type: ignore[method-assign]
    plugins.answer = lambda _, time: HANDLED if time == 3 else NOBODY
    await deliver(dispatcher, inbox, arrival("p-1"))
    assert seen == [("", 0), ("starting", 0), ("starting", 0)]


async def test_after_a_day_without_control_plugins_get_a_minute_to_start(
    dispatcher: Dispatcher, inbox: Inbox, plugins: Plugins, results: Results
) -> None:
    plugins.answer = lambda _, time: HANDLED if time == 30 else NOBODY
    await deliver(dispatcher, inbox, arrival("p-1", sent_at_us=START_US - 2 * DAY_US))
    assert results.written == [("p-1", "", 1, False)]


async def test_one_lane_waits_while_the_others_go_on(
    dispatcher: Dispatcher, inbox: Inbox, plugins: Plugins, results: Results
) -> None:
    gate = asyncio.Event()
    attempt = plugins.attempt

    async def held(waiting: Waiting, declined: set[int]) -> Verdict:
        if waiting.payload.plugin_id == 7 and waiting.payload.edge_id == "edge-1":
            await gate.wait()
        return await attempt(waiting, declined)

    plugins.attempt = held  # type: ignore[method-assign]  # one lane of it is held
    arrivals = [arrival("stuck"), arrival("other-plugin", 8), arrival("other-edge", edge_id="edge-2")]
    dispatcher.wake(await inbox.take_in(arrivals))
    while len(results.written) < 2:
        await asyncio.sleep(0.001)
    assert {name for name, *_ in results.written} == {"other-plugin", "other-edge"}
    gate.set()
    while dispatcher.status.lanes:
        await asyncio.sleep(0.001)
    assert results.written[-1][0] == "stuck"


async def test_tries_are_counted_through_a_restart(
    inbox: Inbox, plugins: Plugins, results: Results, clock: Clock
) -> None:
    await inbox.take_in([arrival("p-1")])
    lane = Lane("", "edge-1", 7)
    for _ in range(8):
        (waiting,) = await inbox.next_of(lane, 1)
        await inbox.try_later(waiting, clock.now_us, "down")
    plugins.answer = lambda _, __: FAILED
    dispatcher = Dispatcher(
        inbox,
        plugins,  # type: ignore[arg-type]  # stands in for the plugins' side
        results,
        clock=clock,
        logger=RecordingLogger(),
        sleep=clock.sleep,
    )
    await deliver(dispatcher, inbox)
    dispatcher.wake((lane,))
    while dispatcher.status.lanes:
        await asyncio.sleep(0.001)
    assert results.written == [("p-1", "the plugin raised", 9, True)]


async def test_a_dead_letter_that_is_redriven_gets_all_its_tries_behind_what_waits(
    dispatcher: Dispatcher, engine: AsyncEngine, inbox: Inbox, plugins: Plugins
) -> None:
    plugins.answer = lambda _, __: Verdict("declined", "nobody wants it")
    await deliver(dispatcher, inbox, arrival("p-1"))
    plugins.answer = lambda _, __: HANDLED
    await inbox.take_in([arrival("p-2")])
    async with engine.begin() as connection:
        assert await revive(connection, 1, START_US)
        assert not await revive(connection, 1, START_US)
    dispatcher.wake(await inbox.lanes())
    while dispatcher.status.lanes:
        await asyncio.sleep(0.001)
    assert plugins.asked == ["p-1", "p-2", "p-1"]
    assert await inbox.counts() == {}


async def test_dead_letters_go_by_age_and_what_waits_stays_however_old_it_is(
    dispatcher: Dispatcher, engine: AsyncEngine, inbox: Inbox, plugins: Plugins, clock: Clock
) -> None:
    plugins.answer = lambda _, __: Verdict("declined", "nobody wants it")
    await deliver(dispatcher, inbox, arrival("old-1"), arrival("old-2"), arrival("old-3"))
    await inbox.take_in([arrival("waits")])
    clock.now_us += 10 * DAY_US
    await deliver(dispatcher, inbox, arrival("young", edge_id="edge-2"))
    clock.now_us += 5 * DAY_US
    pruner = Pruner(
        engine,
        clock=clock,
        logger=structlog.get_logger(),
        settings=RetentionSettings(first_rows=2, pause_s=0.0),
        also=(dead_letters_of(days=14),),
    )
    assert await pruner.sweep(asyncio.Event()) == {"edge_payloads": 3}
    assert await inbox.counts() == {"waiting": 1, "failed": 1}
