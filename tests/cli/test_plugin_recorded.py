"""What may stand in a file of recorded events and calls."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from weir_cli.errors import NotRecordedError
from weir_cli.plugin.recorded import Exchange, exchange_of, read_recorded
from weir_sdk import Analytics, BudgetUsage, ProxyLog
from weir_sdk.testing import make_analytics, make_budget_usage, make_proxy_log

EVENTS = [make_proxy_log(), make_analytics(), make_budget_usage()]
LINES = b"\n".join(event.to_json() for event in EVENTS)


def values() -> list[Any]:
    return [json.loads(event.to_json()) for event in EVENTS]


def read_exchange(value: dict[str, Any]) -> Exchange:
    (found,) = read_recorded(json.dumps(value).encode())
    assert isinstance(found, Exchange)
    return found


@pytest.mark.parametrize(
    "text",
    [LINES, LINES + b"\n\n", LINES.replace(b"\n", b""), json.dumps(values(), indent=2).encode()],
    ids=["lines", "lines with empty ones", "nothing between them", "a list"],
)
def test_each_kind_of_event_is_told_by_what_it_holds(text: bytes) -> None:
    assert read_recorded(text) == EVENTS
    assert [type(event) for event in read_recorded(text)] == [ProxyLog, Analytics, BudgetUsage]


def test_a_page_of_records_holds_its_events() -> None:
    page = {"data": values(), "next_cursor": None}
    assert read_recorded(json.dumps(page).encode()) == EVENTS


def test_a_dead_letter_holds_its_event() -> None:
    letter = {"data": {"id": 7, "collector": "warehouse", "event": values()[0]}}
    assert read_recorded(json.dumps(letter).encode()) == EVENTS[:1]


def test_fields_of_newer_gateways_are_passed_over() -> None:
    assert read_recorded(json.dumps({**values()[1], "colour": "blue"}).encode()) == EVENTS[1:2]


def test_a_recorded_call_needs_no_more_than_a_request() -> None:
    exchange = read_exchange({"request": {}})
    assert (exchange.request.method, exchange.request.body) == ("POST", b"")
    assert exchange.response is None


@pytest.mark.parametrize(
    ("given", "body"),
    [
        ({"body": {"model": "m"}}, b'{"model":"m"}'),
        ({"body": "plain text"}, b"plain text"),
        ({"body_base64": base64.b64encode(b"\xff\x00").decode()}, b"\xff\x00"),
    ],
)
def test_a_body_is_json_or_text_or_base64(given: dict[str, Any], body: bytes) -> None:
    assert read_exchange({"request": given}).request.body == body


def test_a_streamed_answer_is_its_events() -> None:
    exchange = read_exchange({"request": {}, "response": {"chunks": [{"choices": []}, "[DONE]"]}})
    assert exchange.events is not None
    assert [event.data for event in exchange.events] == [b'{"choices":[]}', b"[DONE]"]
    assert exchange.response is not None
    assert exchange.response.headers["Content-Type"] == "text/event-stream"


def test_a_proxy_log_tells_of_its_call() -> None:
    log = make_proxy_log(app_id=7, request_body='{"model":"m"}', response_body="[]", response_code=404)
    exchange = exchange_of(log)
    assert (exchange.call.app_id, exchange.call.vendor) == (7, "openai")
    assert (exchange.request.path, exchange.request.body) == (log.path, b'{"model":"m"}')
    assert exchange.response is not None
    assert (exchange.response.status_code, exchange.response.body) == (404, b"[]")
    assert exchange.events is None


def test_a_proxy_log_of_a_stream_tells_of_its_events_also_of_one_that_was_cut() -> None:
    log = make_proxy_log(stream=True, response_body=": ping\n\ndata: {}\n\ndata: [DO")
    events = exchange_of(log).events
    assert events is not None
    assert [event.data for event in events] == [b"{}", b"[DO"]


def test_a_proxy_log_without_an_answer_has_none() -> None:
    assert exchange_of(make_proxy_log(response_body=None)).response is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "no event"),
        (b"{", "not JSON"),
        (LINES + b"\n{", "line 4: it is not JSON"),
        (b"[]", "no event"),
        (
            b'{"hello": "world"}',
            "is neither an event (proxy log, analytics, budget usage) nor a recorded call",
        ),
        (b'{"request": {"metod": "GET"}}', "metod"),
        (b'{"request": {"body_base64": "?"}}', "base64"),
        (b'{"response_code": 200}\n{"response_code": 200}', "line 1: Object missing required field"),
    ],
)
def test_anything_else_is_named_with_its_place(text: bytes, said: str) -> None:
    with pytest.raises(NotRecordedError) as caught:
        read_recorded(text)
    assert said in str(caught.value)
