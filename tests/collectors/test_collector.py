"""One collector and one event: calls, tries, deadlines, batches, and the decision at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from tests.collectors.conftest import never_opens
from tests.fakes.gateway_events import analytics, budget_usage, plugin, proxy_log, record
from tests.fakes.plugin_host import FakeHost, batch_handles, handles, hangs, passes, raises

from weir_collectors.backoff import Backoff
from weir_collectors.breaker import Breaker, BreakerSettings
from weir_collectors.collector import Collector
from weir_collectors.decoding import ReadEvent, read_event
from weir_collectors.errors import CollectorRefusedError, SinkAwayError, UnreadableEventError
from weir_collectors.handled import Decision
from weir_collectors.kinds import EventKind
from weir_core.clock import SystemClock
from weir_core.objects import Plugin
from weir_host.errors import PluginNotReadyError, PluginProtocolError
from weir_host.limits import HostLimits
from weir_sdk import Analytics, BudgetUsage, DataCollectionResponse, ProxyLog
from weir_streams.events import Event, encode


def read(event: Event) -> ReadEvent:
    return read_event(record(encode(event).value))


class Waits:
    """A sleep that takes no time and remembers what it was asked for."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        await asyncio.sleep(0)


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def make(host: FakeHost, waits: Waits) -> Any:
    def make_collector(
        wanted: Plugin | None = None,
        kind: EventKind = EventKind.PROXY_LOG,
        llm_ids: frozenset[int] = frozenset(),
        breaker: Breaker | None = None,
    ) -> Collector:
        return Collector(
            wanted or plugin(),
            kind,
            llm_ids,
            host=host,
            backoff=Backoff(first_s=0.5, longest_s=3.0),
            breaker=breaker or never_opens(),
            sleep=waits,
        )

    return make_collector


def breaker_of(*, failures: int) -> Breaker:
    return Breaker(BreakerSettings(failures=failures), SystemClock().monotonic)


@pytest.mark.parametrize(
    ("handler", "handled"), [(handles, True), (passes, False)], ids=["handled", "not handled"]
)
async def test_a_success_is_decided_at_the_first_try(
    make: Any, host: FakeHost, waits: Waits, handler: Any, handled: bool
) -> None:
    host.put(proxy_log=handler)
    assert await make().decide(read(proxy_log())) == Decision("sink", handled=handled, tries=1)
    assert waits.seconds == []


@pytest.mark.parametrize(
    ("kind", "event", "handler", "message"),
    [
        (EventKind.PROXY_LOG, proxy_log(event_id="l"), "proxy_log", ProxyLog),
        (EventKind.ANALYTICS, analytics(event_id="a"), "analytics", Analytics),
        (EventKind.BUDGET_USAGE, budget_usage(event_id="b"), "budget_usage", BudgetUsage),
    ],
)
async def test_each_kind_of_event_reaches_its_own_handler_as_its_own_message(
    make: Any, host: FakeHost, kind: EventKind, event: Event, handler: str, message: type
) -> None:
    instance = host.put(**{handler: handles})
    assert (await make(kind=kind).decide(read(event))).handled
    (seen,) = instance.calls
    assert type(seen) is message
    assert seen.event_id == event.event_id


async def test_a_collector_that_raises_is_tried_again_with_growing_waits(
    make: Any, host: FakeHost, waits: Waits
) -> None:
    instance = host.put(proxy_log=raises)
    decision = await make(plugin(max_tries=5)).decide(read(proxy_log()))
    assert decision == Decision("sink", tries=5, error="the sink choked")
    assert len(instance.calls) == 5
    assert waits.seconds == [0.5, 1.0, 2.0, 3.0]


async def test_why_it_gave_up_does_not_repeat_its_secrets(make: Any, host: FakeHost) -> None:
    host.put(proxy_log=raises)
    decision = await make(plugin(max_tries=1, secrets=("sink",))).decide(read(proxy_log()))
    assert decision.error == "the *** choked"


async def test_a_collector_that_recovers_in_time_decides(make: Any, host: FakeHost) -> None:
    answers = iter([raises, raises, handles])

    async def recovers(message: Any) -> DataCollectionResponse:
        return await next(answers)(message)

    host.put(proxy_log=recovers)
    assert await make().decide(read(proxy_log())) == Decision("sink", handled=True, tries=3)


async def test_a_permanent_failure_is_not_tried_again(make: Any, host: FakeHost) -> None:
    async def refuses(_message: Any) -> DataCollectionResponse:
        return DataCollectionResponse(success=False, error_message="no such field", retryable=False)

    instance = host.put(proxy_log=refuses)
    assert await make().decide(read(proxy_log())) == Decision(
        "sink", tries=1, error="no such field", retryable=False
    )
    assert len(instance.calls) == 1


async def test_a_failure_is_a_failure_even_when_it_claims_to_have_handled(make: Any, host: FakeHost) -> None:
    async def half(_message: Any) -> DataCollectionResponse:
        return DataCollectionResponse(success=False, handled=True)

    host.put(proxy_log=half)
    decision = await make().decide(read(proxy_log()))
    assert (decision.succeeded, decision.handled, decision.tries) == (False, False, 3)


async def test_a_call_that_does_not_end_is_a_retryable_failure(make: Any, host: FakeHost) -> None:
    instance = host.put(proxy_log=hangs)
    decision = await make(plugin(timeout_ms=5, max_tries=2)).decide(read(proxy_log()))
    assert not decision.succeeded
    assert len(instance.calls) == 2


async def test_an_event_this_release_cannot_show_is_a_permanent_failure(make: Any, host: FakeHost) -> None:
    instance = host.put(proxy_log=handles)
    value = encode(proxy_log()).value.replace(b'"stream":false', b'"stream":"backwards"')
    decision = await make().decide(read_event(record(value)))
    assert (decision.succeeded, decision.tries) == (False, 1)
    assert instance.calls == []


@pytest.mark.parametrize("state", ["failed", "stopped"])
async def test_a_collector_that_is_not_ready_is_a_retryable_failure_with_its_reason(
    make: Any, host: FakeHost, state: str
) -> None:
    instance = host.put(proxy_log=handles)
    instance.state, instance.reason = state, "its module does not import"
    decision = await make().decide(read(proxy_log()))
    assert decision.tries == 3
    assert decision.error == f"collector sink is {state}: its module does not import"


async def test_a_collector_that_is_not_there_is_a_retryable_failure(make: Any) -> None:
    decision = await make().decide(read(proxy_log()))
    assert (decision.succeeded, decision.tries) == (False, 3)


async def test_a_collector_that_becomes_ready_after_a_wait_decides_at_the_first_try(
    make: Any, host: FakeHost, waits: Waits
) -> None:
    instance = host.put(proxy_log=handles)
    instance.state = "starting"
    deciding = asyncio.create_task(make().decide(read(proxy_log())))
    while not waits.seconds:
        await asyncio.sleep(0)
    instance.state = "ready"
    assert await deciding == Decision("sink", handled=True)


async def test_a_plugin_that_is_never_done_with_starting_is_away_after_a_while(
    make: Any, host: FakeHost, waits: Waits
) -> None:
    host.put(proxy_log=handles).state = "starting"
    collector = make()
    decision = await collector.decide(read(proxy_log()))
    assert (decision.succeeded, decision.tries) == (False, 3)
    assert sum(waits.seconds) > HostLimits().start_s
    waited = len(waits.seconds)
    await collector.decide(read(proxy_log()))
    assert len(waits.seconds) < waited + 10, "each event waited for as long as the first"


async def test_a_plugin_that_keeps_serving_after_a_failed_change_decides(make: Any, host: FakeHost) -> None:
    host.put(proxy_log=handles).state = "degraded"
    assert (await make().decide(read(proxy_log()))).handled


async def test_a_process_that_takes_many_calls_with_it_has_failed_once(make: Any, host: FakeHost) -> None:
    window, dies = 8, asyncio.Event()

    async def lives_once(_message: Any) -> DataCollectionResponse:
        if instance.restarts == 0:
            await dies.wait()
            raise PluginNotReadyError("its process was killed by SIGKILL")
        return DataCollectionResponse(handled=True)

    instance = host.put(proxy_log=lives_once)
    breaker = breaker_of(failures=2)
    collector = make(plugin(window=window), breaker=breaker)
    deciding = [asyncio.ensure_future(collector.decide(read(proxy_log()))) for _ in range(2 * window)]
    while len(instance.calls) < window:
        await asyncio.sleep(0)
    dies.set()
    # What is asked before the host has noticed finds the same process gone.
    while len(instance.calls) < 2 * window:
        await asyncio.sleep(0)
    assert breaker.closed
    instance.restarts = 1
    assert all(decision.handled for decision in await asyncio.gather(*deciding))


async def test_a_process_that_dies_after_each_start_opens_the_breaker(make: Any, host: FakeHost) -> None:
    async def dies(_message: Any) -> DataCollectionResponse:
        instance.restarts += 1
        raise PluginNotReadyError("its process was killed by SIGKILL")

    instance = host.put(proxy_log=dies)
    decision = await make(plugin(max_tries=9), breaker=breaker_of(failures=3)).decide(read(proxy_log()))
    assert (decision.skipped, len(instance.calls)) == (True, 3)


async def test_a_kind_without_a_handler_is_not_collected(make: Any, host: FakeHost) -> None:
    host.put(proxy_log=handles)
    assert make().collects()
    assert not make(kind=EventKind.ANALYTICS).collects()


async def test_what_a_plugin_collects_is_taken_as_everything_until_it_is_ready(
    make: Any, host: FakeHost
) -> None:
    assert make().collects()
    host.put().state = "starting"
    assert make().collects()


async def test_no_more_calls_are_under_way_than_the_window_allows(make: Any, host: FakeHost) -> None:
    most = under_way = 0

    async def counts(_message: Any) -> None:
        nonlocal most, under_way
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1

    host.put(proxy_log=lambda message: _respond(counts(message)))
    collector = make(plugin(window=3))
    await asyncio.gather(*(collector.decide(read(proxy_log())) for _ in range(10)))
    assert most == 3


async def _respond(doing: Any) -> DataCollectionResponse:
    await doing
    return DataCollectionResponse()


async def test_a_batch_handler_gets_the_events_that_wait_together(make: Any, host: FakeHost) -> None:
    instance = host.put(batch=batch_handles, proxy_log=raises)
    collector = make(plugin(window=4))
    decisions = await asyncio.gather(*(collector.decide(read(proxy_log())) for _ in range(6)))
    assert all(decision == Decision("sink", handled=True) for decision in decisions)
    assert [len(batch) for batch in instance.calls] == [4, 2]


async def test_each_event_of_a_batch_has_its_own_verdict(make: Any, host: FakeHost) -> None:
    async def first_only(messages: Sequence[Any]) -> list[DataCollectionResponse]:
        return [DataCollectionResponse(handled=message.event_id == "first") for message in messages]

    host.put(batch=first_only)
    collector = make()
    first, second = await asyncio.gather(
        collector.decide(read(proxy_log(event_id="first"))), collector.decide(read(proxy_log()))
    )
    assert (first.handled, second.handled) == (True, False)


@pytest.mark.parametrize("error", [ConnectionError("bad"), PluginProtocolError("bad")])
async def test_an_event_that_spoils_its_batch_does_not_fail_its_neighbours(
    make: Any, host: FakeHost, error: Exception
) -> None:
    async def choking(messages: Sequence[Any]) -> list[DataCollectionResponse]:
        if any(message.event_id == "bad" for message in messages):
            raise error
        return [DataCollectionResponse(handled=True) for _ in messages]

    host.put(batch=choking)
    collector = make()
    events = [proxy_log(), proxy_log(event_id="bad"), proxy_log()]
    decisions = await asyncio.gather(*(collector.decide(read(event)) for event in events))
    assert [decision.handled for decision in decisions] == [True, False, True]
    assert (decisions[1].handled, decisions[1].tries, decisions[1].error) == (False, 3, "bad")


async def test_a_long_error_is_cut(make: Any, host: FakeHost) -> None:
    async def verbose(_message: Any) -> DataCollectionResponse:
        raise ValueError("x" * 100_000)

    host.put(proxy_log=verbose)
    assert len((await make().decide(read(proxy_log()))).error) == 2000


def test_an_attached_collector_wants_the_events_of_its_llms_only(make: Any) -> None:
    collector = make(llm_ids=frozenset({2}))
    assert collector.wants(read(proxy_log(llm_id=2)))
    assert not collector.wants(read(proxy_log(llm_id=3)))
    assert not collector.wants(read(proxy_log(llm_id=None)))


def test_a_collector_without_attachments_wants_every_event(make: Any) -> None:
    assert make().wants(read(proxy_log(llm_id=None)))


def test_a_collector_of_a_namespace_wants_the_events_of_its_edges_only(make: Any) -> None:
    collector = make(plugin(namespace="eu"))
    assert collector.wants(read(proxy_log(edge_namespace="eu")))
    assert not collector.wants(read(proxy_log(edge_namespace="us")))
    assert make(plugin(namespace="")).wants(read(proxy_log(edge_namespace="us")))


async def ask_together(collector: Collector, *events: Event) -> list[Decision | Exception]:
    answers: list[Decision | Exception] = []
    await collector.ask_together(
        [read(event) for event in events], lambda _events, told: answers.extend(told)
    )
    return answers


async def test_events_that_are_asked_about_together_have_their_own_verdicts(
    make: Any, host: FakeHost
) -> None:
    async def some(messages: Sequence[Any]) -> list[DataCollectionResponse]:
        return [
            DataCollectionResponse(success=message.event_id != "bad", handled=message.event_id == "first")
            for message in messages
        ]

    host.put(batch=some)
    collector = make()
    assert collector.asks_together()
    first, second, bad = await ask_together(
        collector, proxy_log(event_id="first"), proxy_log(), proxy_log(event_id="bad")
    )
    assert (first, second) == (Decision("sink", handled=True), Decision("sink"))
    assert isinstance(bad, CollectorRefusedError)


async def test_a_decision_goes_on_from_the_failure_of_a_call_that_was_made_already(
    make: Any, host: FakeHost, waits: Waits
) -> None:
    instance = host.put(proxy_log=raises)
    decision = await make(plugin(max_tries=3)).decide(read(proxy_log()), ConnectionError("the first"))
    assert decision == Decision("sink", tries=3, error="the sink choked")
    assert len(instance.calls) == 2
    assert waits.seconds == [0.5, 1.0]


async def test_the_last_error_that_is_allowed_decides_without_another_call(make: Any, host: FakeHost) -> None:
    instance = host.put(proxy_log=handles)
    decision = await make(plugin(max_tries=1)).decide(read(proxy_log()), ConnectionError("the only one"))
    assert decision == Decision("sink", tries=1, error="the only one")
    assert instance.calls == []


async def test_events_are_not_asked_about_together_while_the_sink_is_away_or_takes_single_ones(
    make: Any, host: FakeHost
) -> None:
    host.put(proxy_log=handles)
    assert not make().asks_together()
    host.put(batch=batch_handles)
    breaker = breaker_of(failures=1)
    collector = make(breaker=breaker)
    breaker.failed("away")
    assert not collector.asks_together()
    (answer,) = await ask_together(collector, proxy_log())
    assert isinstance(answer, SinkAwayError)


async def test_an_event_that_cannot_be_shown_does_not_hold_up_its_company(make: Any, host: FakeHost) -> None:
    instance = host.put(batch=batch_handles)
    bad = encode(proxy_log()).value.replace(b'"stream":false', b'"stream":"backwards"')
    events = [read_event(record(bad)), read(proxy_log(event_id="good"))]
    answers: dict[str, Decision | Exception] = {}
    await make().ask_together(
        events,
        lambda asked, told: answers.update(
            {event.event_id: answer for event, answer in zip(asked, told, strict=True)}
        ),
    )
    assert answers["good"] == Decision("sink", handled=True)
    assert isinstance(answers[events[0].event_id], UnreadableEventError)
    assert [len(batch) for batch in instance.calls] == [1]
