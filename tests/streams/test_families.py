"""Families that do not fit as they are: what is left out, in which order, and what always stays."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.streams.support import SPOOL_ID, STARTED_US, family, values_of

from weir_streams.errors import FamilyError
from weir_streams.events import Analytics, Attempt, Event, Latency, ProxyLog
from weir_streams.families import encode_family, fit_family, without_body
from weir_streams.segment import Record, decode_record
from weir_streams.settings import KIB

RESERVE = 16 * KIB


def fit(events: list[Event], most_bytes: int = RESERVE) -> list[dict[str, Any]]:
    record = decode_record(fit_family(events, SPOOL_ID, 10, STARTED_US, most_bytes))
    assert isinstance(record, Record)
    assert record.size <= most_bytes
    return values_of(record.events)


def test_every_event_gets_its_own_number() -> None:
    record = decode_record(encode_family(family(), SPOOL_ID, 10, STARTED_US))
    assert isinstance(record, Record)
    assert [(value["spool_id"], value["spool_seq"]) for value in values_of(record.events)] == [
        (SPOOL_ID, 10),
        (SPOOL_ID, 11),
        (SPOOL_ID, 12),
    ]
    assert record.next_seq == 13


def test_what_fits_is_left_as_it_is() -> None:
    log = fit(family(request_body="short"))[0]
    assert (log["request_body"], log["request_body_truncated"]) == ("short", False)


def test_bodies_go_first_and_leave_their_hash() -> None:
    body = "x" * 100_000
    log, analytics, budget = fit(family(request_body=body, response_body=None, metadata={"kept": "yes"}))
    assert log["request_body"] is None
    assert log["request_body_truncated"] is True
    assert log["request_body_sha256"] == hashlib.sha256(body.encode()).hexdigest()
    assert (log["response_body_truncated"], log["response_body_sha256"]) == (False, None)
    assert log["metadata"] == {"kept": "yes"}
    assert analytics["prompt_tokens"] == 5
    assert budget["cost"] == "0.5"


def test_the_hash_of_a_body_that_was_cut_before_is_kept() -> None:
    log = family(request_body="start", request_body_truncated=True, request_body_sha256="ab" * 32)[0]
    smaller = without_body(log)
    assert isinstance(smaller, ProxyLog)
    assert smaller.request_body_sha256 == "ab" * 32


def test_the_hash_of_a_binary_body_is_that_of_its_bytes() -> None:
    raw = bytes(range(256))
    encoded = base64.b64encode(raw).decode()
    smaller = without_body(family(response_body=encoded, response_body_encoding="base64")[0])
    assert isinstance(smaller, ProxyLog)
    assert smaller.response_body_sha256 == hashlib.sha256(raw).hexdigest()
    assert smaller.response_body_encoding is None


def test_the_events_that_were_given_are_not_changed() -> None:
    events = family(request_body="x" * 100_000, metadata={"long": "y" * 100_000})
    fit(events)
    assert isinstance(events[0], ProxyLog)
    assert events[0].request_body == "x" * 100_000
    assert events[0].metadata == {"long": "y" * 100_000}


def test_metadata_and_long_texts_go_next() -> None:
    log = fit(family(metadata={"long": "y" * 100_000}, path="/p" * 50_000))[0]
    assert log["metadata"] == {"weir_truncated": True}
    assert log["path"].startswith("/p/p")
    assert (log["event_id"], log["request_id"], log["outcome"]) == ("log-1", "request-1", "served")


@pytest.mark.parametrize("value", [object(), "\ud800", {1j: 1}, {"deep": object()}])
def test_what_json_cannot_say_costs_the_metadata_and_not_the_event(value: object) -> None:
    assert fit(family(metadata={"odd": value}))[0]["metadata"] == {"weir_truncated": True}


def test_a_family_that_cannot_be_encoded_at_all_says_so() -> None:
    with pytest.raises(FamilyError, match="recovered"):
        fit(family(response_code=object()))


# Multiplied, because long texts are slow to draw; a control character takes six bytes as JSON.
LONG = st.builds(lambda text, times: text * times, st.text(max_size=8), st.sampled_from([1, 50, 2000]))


@settings(max_examples=40, deadline=None)
@given(path=LONG, user=LONG, model=LONG, blocked=LONG, error=LONG, reasons=st.lists(LONG, max_size=8))
def test_a_family_always_fits_into_the_smallest_reserve(
    path: str, user: str, model: str, blocked: str, error: str, reasons: list[str]
) -> None:
    attempts = [Attempt(llm_id=number, error=error, upstream_request_id=error) for number in range(20)]
    latency = Latency(plugins={f"{error}{number}": 1.0 for number in range(20)})
    events = family(path=path, blocked_by=blocked, attempts=attempts, latency_ms=latency, request_body=path)
    for event in events:
        event.user_id = event.client_request_id = event.trace_id = event.edge_id = user
        event.edge_namespace = event.llm_slug = event.vendor = user
    for event in events[:2]:
        assert isinstance(event, ProxyLog | Analytics)
        event.model_name = model
    assert isinstance(events[1], Analytics)
    events[1].attempts, events[1].finish_reasons, events[1].price_version = attempts, reasons, model
    log, analytics, budget = fit(events)
    assert (log["event_id"], analytics["event_id"], budget["event_id"]) == (
        "log-1",
        "analytics-1",
        "budget-1",
    )
    assert msgspec.json.encode(log)
