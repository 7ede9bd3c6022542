from __future__ import annotations

from typing import Any

import msgspec
import pytest

from weir_sdk import Analytics, BudgetUsage, DataCollectionResponse, Event, ProxyLog
from weir_sdk.context import call_of
from weir_sdk.errors import RubbishError
from weir_sdk.testing import make_analytics, make_budget_usage, make_proxy_log
from weir_sdk.wire import collected, events
from weir_sdk.wire.context import Peer

OURS = Peer(ours=True, edge_id="edge-1", edge_namespace="eu")
GO = Peer(ours=False, edge_id="edge-1", edge_namespace="eu")

LOG = make_proxy_log(
    user_id="ada",
    request_body='{"a":1}',
    response_body="//4=",
    response_body_encoding="base64",
    metadata={"team": "blue", "n": 1},
)
USAGE = make_analytics(
    prompt_tokens=100,
    cache_read_tokens=30,
    cache_write_tokens=20,
    response_tokens=7,
    total_tokens=107,
    cost="0.0000123",
)
BUDGET = make_budget_usage(user_id="42", cost=None, limit="10")

TO_WIRE: dict[type, Any] = {
    ProxyLog: events.proxy_log_to_wire,
    Analytics: events.analytics_to_wire,
    BudgetUsage: events.budget_usage_to_wire,
}
FROM_WIRE: dict[type, Any] = {
    ProxyLog: events.proxy_log_from_wire,
    Analytics: events.analytics_from_wire,
    BudgetUsage: events.budget_usage_from_wire,
}
ALL: list[Event] = [LOG, USAGE, BUDGET]


def travelled(event: Event, peer: Peer) -> Any:
    message = TO_WIRE[type(event)](event, peer)
    return FROM_WIRE[type(event)](type(message).FromString(message.SerializeToString()))


@pytest.mark.parametrize("event", ALL)
def test_our_own_collectors_read_the_event_itself(event: Event) -> None:
    call, read = travelled(event, OURS)
    assert read == event
    assert call == call_of(event)


def test_on_gos_wire_prompt_tokens_leave_out_cached_ones_and_costs_are_ten_thousandths() -> None:
    wire = events.analytics_to_wire(USAGE, GO)
    assert (wire.prompt_tokens, wire.cache_read_prompt_tokens, wire.cache_write_prompt_tokens) == (50, 30, 20)
    assert (wire.response_tokens, wire.total_tokens, wire.cost) == (7, 107, 0.123)
    assert wire.timestamp == 1769860800
    assert wire.context.metadata["event_id"] == USAGE.event_id
    assert not wire.event_json


def test_counts_that_go_cannot_hold_are_as_large_as_it_can() -> None:
    wire = events.analytics_to_wire(make_analytics(prompt_tokens=2**40, cache_read_tokens=2**41), GO)
    assert (wire.prompt_tokens, wire.cache_read_prompt_tokens) == (0, 2**31 - 1)


def test_a_user_that_is_no_number_stands_in_the_metadata() -> None:
    wire = events.proxy_log_to_wire(LOG, GO)
    assert (wire.user_id, wire.context.metadata["user_id"]) == (0, "ada")
    assert (wire.request_body, wire.response_body) == (b'{"a":1}', b"\xff\xfe")


def test_from_a_go_host_an_event_is_as_whole_as_its_fields() -> None:
    _, usage = travelled(USAGE, GO)
    for name in ("event_id", "prompt_tokens", "total_tokens", "cost", "timestamp", "app_id", "llm_slug"):
        assert getattr(usage, name) == getattr(USAGE, name)
    _, log = travelled(LOG, GO)
    for name in ("event_id", "request_body", "response_body", "response_body_encoding"):
        assert getattr(log, name) == getattr(LOG, name)
    _, budget = travelled(BUDGET, GO)
    assert (budget.period_start, budget.user_id, budget.cost) == (BUDGET.period_start, "42", "0")


def test_an_event_without_an_id_gets_the_same_one_at_every_delivery() -> None:
    wire = events.analytics_to_wire(USAGE, GO)
    del wire.context.metadata["event_id"]
    first, second = events.analytics_from_wire(wire)[1], events.analytics_from_wire(wire)[1]
    assert first.event_id == second.event_id == f"{USAGE.request_id}:analytics"


@pytest.mark.parametrize("body", ["//4", "//4=", "//4=3"])
def test_a_base64_body_that_was_cut_is_still_sent(body: str) -> None:
    log = make_proxy_log(request_body=body, request_body_encoding="base64", request_body_truncated=True)
    assert events.proxy_log_to_wire(log, GO).request_body in (b"", b"\xff\xfe")


def test_a_batch_holds_events_of_all_kinds_in_their_order() -> None:
    wire = collected.batch_to_wire(ALL)
    assert collected.batch_from_wire(type(wire).FromString(wire.SerializeToString())) == ALL


def test_an_event_of_a_kind_to_come_is_an_error() -> None:
    wire = collected.batch_to_wire(ALL)
    wire.events[0].kind = 99  # type: ignore[assignment]
    with pytest.raises(KeyError):
        collected.batch_from_wire(wire)


@pytest.mark.parametrize(
    "response",
    [
        DataCollectionResponse(),
        DataCollectionResponse(handled=True),
        DataCollectionResponse(success=False, error_message="full", retryable=True),
        DataCollectionResponse(success=False, error_message="malformed", retryable=False),
    ],
)
def test_what_a_collector_answered_travels_whole(response: DataCollectionResponse) -> None:
    assert collected.collected_from_wire(collected.collected_to_wire(response)) == response
    batch = collected.batch_collected_to_wire([response, response])
    assert collected.batch_collected_from_wire(batch, 2) == [response, response]


def test_a_batch_needs_an_answer_to_each_event() -> None:
    with pytest.raises(RubbishError, match="returned 0 responses to 2 events"):
        collected.batch_collected_from_wire(collected.batch_collected_to_wire([]), 2)


def test_what_is_no_event_is_an_error() -> None:
    wire = events.analytics_to_wire(USAGE, OURS)
    wire.event_json = b"{"
    with pytest.raises(msgspec.MsgspecError):
        events.analytics_from_wire(wire)
