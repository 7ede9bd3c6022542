"""The base of the built-in sinks: what becomes of a batch, whatever its requests are answered."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from tests.collectors.file_collector_process import NoContext
from tests.fakes.sdk_events import a_log

from weir_collectors.breaker import finds_sink_away
from weir_collectors.builtin.errors import (
    RequestRefusedError,
    RequestTooLargeError,
    SinkConfigError,
    SinkUnreachableError,
)
from weir_collectors.builtin.pacing import Pace
from weir_collectors.builtin.packing import Item
from weir_collectors.builtin.retry_after import retry_after_s
from weir_collectors.builtin.sink import Outcome, Refusal, Sink
from weir_collectors.builtin.sink_config import SinkConfig
from weir_host.schema import config_errors, read_schema
from weir_sdk import Context, Event

CONTEXT: Any = NoContext()
BUSY = Refusal("busy", retryable=True)
WRONG = Refusal("wrong", retryable=False)


class Memory(Sink[SinkConfig]):
    """Takes everything but what a test says of an event or of a whole request."""

    name = "Memory"
    config_type = SinkConfig

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[list[str]] = []
        self.outcomes: dict[str, Outcome] = {}
        self.failing: dict[str, Exception] = {}
        self.takes_at_most = 10_000
        self.is_open = False

    async def open(self, ctx: Context) -> None:
        self.is_open = True

    def encode(self, event: Event) -> bytes:
        if not event.request_id:
            raise ValueError("it has no request id")
        return event.event_id.encode().ljust(100)

    async def send(self, items: Sequence[Item]) -> Sequence[Outcome]:
        ids = [item.event.event_id for item in items]
        self.requests.append(ids)
        if len(ids) > self.takes_at_most:
            raise RequestTooLargeError("too large")
        for event_id in ids:
            if event_id in self.failing:
                raise self.failing[event_id]
        return [self.outcomes.get(event_id) for event_id in ids]

    async def close(self) -> None:
        self.is_open = False


async def opened(**config: Any) -> Memory:
    sink = Memory()
    await sink.initialize(CONTEXT, {"flush_interval_ms": 0, **config})
    return sink


def logs(count: int) -> list[Event]:
    return [a_log(event_id=f"e{number}") for number in range(count)]


async def verdicts(sink: Memory, events: Sequence[Event]) -> list[str]:
    """For each event: handled, again, or never."""
    return [
        "handled" if answer.handled else "again" if answer.retryable else "never"
        for answer in await sink.handle_batch(CONTEXT, events)
    ]


async def test_only_what_was_acknowledged_is_handled_and_the_rest_comes_again_or_never() -> None:
    sink = await opened()
    sink.outcomes = {"e1": BUSY, "e2": WRONG}
    answers = await sink.handle_batch(CONTEXT, logs(4))
    assert [(answer.success, answer.handled, answer.retryable) for answer in answers] == [
        (True, True, True),
        (False, False, True),
        (False, False, False),
        (True, True, True),
    ]
    assert [answer.error_message for answer in answers[1:3]] == ["busy", "wrong"]


async def test_a_sink_that_leaves_the_record_to_the_database_handles_nothing() -> None:
    sink = await opened(handled=False)
    [answer] = await sink.handle_batch(CONTEXT, logs(1))
    assert answer.success
    assert not answer.handled


async def test_an_event_that_cannot_be_written_fails_alone() -> None:
    sink = await opened()
    events = [*logs(2), a_log(event_id="bad", request_id="")]
    assert await verdicts(sink, events) == ["handled", "handled", "never"]
    assert await verdicts(sink, events[2:]) == ["never"]
    assert sink.requests == [["e0", "e1"]]


async def test_a_request_holds_no_more_events_and_bytes_than_it_may() -> None:
    by_count = await opened(batch_size=3)
    await by_count.handle_batch(CONTEXT, logs(7))
    assert by_count.requests == [["e0", "e1", "e2"], ["e3", "e4", "e5"], ["e6"]]
    by_bytes = await opened(batch_bytes=1024)
    await by_bytes.handle_batch(CONTEXT, logs(15))
    assert [len(request) for request in by_bytes.requests] == [10, 5]


async def test_a_request_that_is_too_large_is_halved_until_it_fits() -> None:
    sink = await opened()
    sink.takes_at_most = 2
    assert await verdicts(sink, logs(7)) == ["handled"] * 7
    sink.takes_at_most = 0
    assert await verdicts(sink, logs(3)) == ["never"] * 3
    with pytest.raises(RequestTooLargeError):
        await sink.handle_batch(CONTEXT, logs(1))


async def test_a_sink_that_cannot_be_reached_is_away_and_not_a_failure_of_each_event() -> None:
    sink = await opened(batch_size=2)
    sink.failing = {f"e{number}": SinkUnreachableError("nobody listens") for number in range(4)}
    with pytest.raises(SinkUnreachableError, match="nobody listens") as caught:
        await sink.handle_batch(CONTEXT, logs(4))
    assert finds_sink_away(caught.value)
    del sink.failing["e0"], sink.failing["e1"]
    assert await verdicts(sink, logs(4)) == ["handled", "handled", "again", "again"]


async def test_a_sink_that_refuses_every_event_for_now_is_away_too() -> None:
    sink = await opened()
    sink.outcomes = {"e0": BUSY, "e1": BUSY}
    with pytest.raises(SinkUnreachableError, match="busy"):
        await sink.handle_batch(CONTEXT, logs(2))
    sink.outcomes["e1"] = WRONG
    assert await verdicts(sink, logs(2)) == ["again", "never"]


async def test_a_request_refused_for_good_blames_an_event_only_when_it_was_alone() -> None:
    sink = await opened(batch_size=2)
    sink.failing = {"e1": RequestRefusedError("malformed"), "e2": RequestRefusedError("malformed")}
    assert await verdicts(sink, logs(5)) == ["again"] * 4 + ["handled"]
    with pytest.raises(RequestRefusedError) as caught:
        await sink.handle_batch(CONTEXT, logs(3)[1:2])
    assert not caught.value.retryable
    assert not finds_sink_away(caught.value)


async def test_a_sink_that_asked_for_quiet_is_sent_nothing() -> None:
    sink = await opened()
    sink.failing = {"e0": SinkUnreachableError("slow down", retry_after_s=100)}
    with pytest.raises(SinkUnreachableError, match="slow down"):
        await sink.handle_batch(CONTEXT, logs(1))
    sink.failing.clear()
    with pytest.raises(SinkUnreachableError, match=r"asked not to be sent anything for \d+ s") as caught:
        await sink.handle_batch(CONTEXT, logs(1))
    assert finds_sink_away(caught.value)
    assert len(sink.requests) == 1


class Held:
    """A clock that only a sleeper moves."""

    def __init__(self) -> None:
        self.now = 50.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


async def test_requests_that_are_not_full_are_kept_apart_in_their_own_lane() -> None:
    clock = Held()
    pace = Pace(2.0, clock.monotonic, clock.sleep)
    await pace.turn("logs", full=False)
    assert clock.slept == [], "the first after a pause goes at once"
    clock.now += 0.5
    await pace.turn("usages", full=False)
    await pace.turn("logs", full=True)
    assert clock.slept == [], "a full batch and another lane wait for nothing"
    clock.now += 0.5
    await pace.turn("logs", full=False)
    assert clock.slept == [1.5]


async def test_quiet_is_kept_for_as_long_as_asked_within_reason() -> None:
    clock = Held()
    pace = Pace(0.0, clock.monotonic, clock.sleep)
    pace.keep_quiet(20)
    pace.keep_quiet(5)
    assert pace.quiet_s() == 20
    clock.now += 21
    assert pace.quiet_s() == 0
    pace.keep_quiet(1e9)
    assert pace.quiet_s() == 300


async def test_a_batch_is_full_by_events_or_by_bytes() -> None:
    sink = await opened(batch_size=3, batch_bytes=1024, flush_interval_ms=60_000)
    async with asyncio.timeout(30):
        for _ in range(3):
            await sink.handle_batch(CONTEXT, logs(3))
    large = await opened(batch_size=10_000, batch_bytes=1024, flush_interval_ms=60_000)
    async with asyncio.timeout(30):
        for _ in range(3):
            await large.handle_batch(CONTEXT, logs(11))


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), (" 7 ", 7.0), (None, 0.0), ("", 0.0), ("-1", 0.0), ("Sun, 22 Nov 2026 20:00:00 GMT", 0.0)],
)
def test_retry_after_is_read_where_it_is_a_number(header: str | None, seconds: float) -> None:
    assert retry_after_s(header) == seconds


async def test_a_sink_is_closed_at_the_end() -> None:
    sink = await opened()
    assert sink.is_open
    await sink.shutdown(CONTEXT)
    assert not sink.is_open


async def test_the_schema_and_the_sink_refuse_the_same_config() -> None:
    schema = read_schema(Memory().get_config_schema())
    assert config_errors({}, schema) == []
    for config in ({"batch_size": 0}, {"flush_interval_ms": -1}, {"handled": "yes"}):
        [(path, _)] = config_errors(config, schema)
        assert [path] == list(config)
        with pytest.raises(SinkConfigError, match=path):
            await Memory().initialize(CONTEXT, config)
    with pytest.raises(SinkConfigError, match="unknown"):
        await Memory().initialize(CONTEXT, {"unknown": 1})
