"""When a sink counts as away, and when it is asked again."""

from __future__ import annotations

import asyncio

import pytest

from weir_collectors.backoff import Backoff
from weir_collectors.breaker import Breaker, BreakerSettings, finds_sink_away
from weir_collectors.errors import CollectorNotReadyError, CollectorRefusedError
from weir_host.errors import PluginCallError, PluginNotReadyError, PluginProtocolError, PluginTimeoutError
from weir_sdk import PermanentError

SETTINGS = BreakerSettings(failures=3, probing=Backoff(first_s=1.0, longest_s=4.0))


class Time:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def changes() -> list[str]:
    return []


@pytest.fixture
def breaker(time: Time, changes: list[str]) -> Breaker:
    return Breaker(SETTINGS, time, changes.append)


def open_up(breaker: Breaker) -> None:
    for _ in range(SETTINGS.failures):
        breaker.failed("away")


def test_it_opens_after_so_many_failures_in_a_row(breaker: Breaker, changes: list[str]) -> None:
    for outcome in (breaker.failed, breaker.failed):
        outcome("away")
    breaker.succeeded()
    breaker.failed("away")
    breaker.failed("away")
    assert breaker.closed
    breaker.failed("gone")
    assert (breaker.state, breaker.reason, changes) == ("open", "gone", ["gone"])


def test_one_probe_at_a_time_and_longer_and_longer_between_them(breaker: Breaker, time: Time) -> None:
    open_up(breaker)
    assert not breaker.take_probe()
    waits = []
    for _ in range(4):
        before = time.now
        while not breaker.take_probe():
            time.now += 0.5
        waits.append(time.now - before)
        assert not breaker.take_probe()
        breaker.failed("away")
        assert breaker.state == "open"
    assert waits == [1.0, 2.0, 4.0, 4.0]


def test_a_probe_that_succeeds_closes_it(breaker: Breaker, time: Time, changes: list[str]) -> None:
    open_up(breaker)
    time.now += 1.0
    assert breaker.take_probe()
    breaker.succeeded()
    breaker.end_probe()
    assert (breaker.closed, breaker.reason, changes) == (True, "", ["away", ""])


def test_a_probe_that_tells_nothing_leaves_it_open_for_the_next(breaker: Breaker, time: Time) -> None:
    open_up(breaker)
    time.now += 1.0
    assert breaker.take_probe()
    breaker.end_probe()
    assert breaker.state == "open"
    time.now += 2.0
    assert breaker.take_probe()


async def test_who_waits_is_woken_when_it_closes(breaker: Breaker) -> None:
    open_up(breaker)
    waiting = asyncio.create_task(breaker.until_changed())
    await asyncio.sleep(0)
    breaker.succeeded()
    await asyncio.wait_for(waiting, 0.5)


def caused(by: BaseException) -> PluginCallError:
    error = PluginCallError("the handler raised")
    error.__cause__ = by
    return error


class ClientError(Exception):
    """What a client library makes of a connection error."""


def wrapped() -> Exception:
    outer = ClientError("cannot connect")
    outer.__context__ = ConnectionRefusedError("nobody listens")
    return caused(outer)


@pytest.mark.parametrize(
    ("error", "away"),
    [
        (CollectorNotReadyError("starting"), True),
        (PluginNotReadyError("failed"), True),
        (PluginTimeoutError("too slow"), True),
        (caused(ConnectionResetError("reset")), True),
        (caused(TimeoutError("connect timeout")), True),
        (wrapped(), True),
        (caused(ValueError("bad value")), False),
        (caused(OSError(28, "No space left on device")), False),
        (caused(PermanentError("refused")), False),
        (CollectorRefusedError("no", retryable=True), False),
        (PluginProtocolError("rubbish"), False),
        (PluginCallError("the sink said no for good", retryable=False), False),
    ],
)
def test_only_what_says_that_nobody_is_there_counts(error: Exception, away: bool) -> None:
    assert finds_sink_away(error) is away
