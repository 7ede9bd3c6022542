"""What counts as an event, and what does not."""

from __future__ import annotations

import msgspec
import pytest
from tests.fakes.gateway_events import MOMENT_US, analytics, budget_usage, proxy_log, record

from weir_collectors.decoding import read_event
from weir_collectors.errors import UnreadableEventError
from weir_core.clock import rfc3339
from weir_streams.events import Attempt, encode


def _json(**changes: object) -> bytes:
    fields: dict[str, object] = {"event_id": "e", "request_id": "r", "timestamp": rfc3339(MOMENT_US)}
    return msgspec.json.encode(fields | changes)


def test_every_field_that_records_are_found_by_is_read() -> None:
    logged = record(encode(proxy_log(event_id="e", request_id="r", timestamp=rfc3339(MOMENT_US))).value, 7)
    event = read_event(logged)
    assert (event.event_id, event.request_id, event.timestamp_us) == ("e", "r", MOMENT_US)
    assert (event.app_id, event.llm_id, event.model, event.status) == (1, 2, "gpt-4o", 200)
    assert event.value.encode() == logged.value
    assert event.record is logged


def test_an_event_without_a_response_code_has_the_status_of_its_last_attempt() -> None:
    attempts = [Attempt(llm_id=2, status=500), Attempt(llm_id=2, status=200)]
    assert read_event(record(encode(analytics(attempts=attempts)).value)).status == 200
    assert read_event(record(encode(budget_usage()).value)).status is None


def test_an_event_of_a_newer_release_is_read_by_the_fields_known_here() -> None:
    event = read_event(record(_json(outcome="invented", tokens_of_thought=[1, 2], latency_ms="fast")))
    assert event.event_id == "e"


def test_a_nul_in_a_model_name_is_replaced_where_a_database_could_not_keep_it() -> None:
    assert read_event(record(_json(model_name="a\x00b"))).model == "a\ufffdb"


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"not json",
        b"[]",
        b"{}",
        _json(event_id=""),
        _json(event_id="with space"),
        _json(event_id=None),
        _json(request_id="\x00"),
        _json(timestamp="yesterday"),
        _json(timestamp="2026-01-31T12:00:00"),
        _json(app_id="1"),
        _json(app_id=2**63),
        _json(llm_id=-1),
        _json(response_code=2**31),
        _json(attempts=[{"status": "ok"}]),
        _json(request_body="cut")[:-5],
        _json().replace(b"}", b',"request_body":"\xff"}'),
        _json().replace(b"}", b',"request_body":"\\ud800 half a pair"}'),
        _json().replace(b"}", b',"metadata":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    ],
)
def test_what_the_database_could_not_keep_as_an_event_is_unreadable(value: bytes) -> None:
    with pytest.raises(UnreadableEventError, match=r"weir\.proxy-log\.v1/spool at offset 3"):
        read_event(record(value, 3))
