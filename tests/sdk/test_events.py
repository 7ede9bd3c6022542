from __future__ import annotations

import msgspec
import pytest

import weir_sdk
from weir_streams import events


@pytest.mark.parametrize("name", ["ProxyLog", "Analytics", "BudgetUsage", "Latency", "Attempt"])
def test_messages_have_the_fields_of_the_events(name: str) -> None:
    event = {field.name for field in msgspec.structs.fields(getattr(events, name))}
    message = {field.name for field in msgspec.structs.fields(getattr(weir_sdk, name))}
    assert message == event


def test_an_event_is_read_as_a_message_and_written_the_same() -> None:
    event = events.ProxyLog(
        event_id="e",
        request_id="r",
        timestamp="2026-01-31T12:00:00.000000Z",
        method="POST",
        path="/v1",
        response_code=200,
        outcome="served",
        latency_ms=events.Latency(total=1.5, plugins={"p": 0.1}),
        attempts=[events.Attempt(llm_id=1, status=200)],
    )
    value = events.encode(event).value
    message = msgspec.json.decode(value, type=weir_sdk.ProxyLog)
    assert message.latency_ms.plugins == {"p": 0.1}
    assert msgspec.json.decode(message.to_json()) == msgspec.json.decode(value)


def test_unknown_fields_are_ignored() -> None:
    value = b'{"event_id":"e","request_id":"r","timestamp":"t","from_the_future":1,"tokens_used":5}'
    assert msgspec.json.decode(value, type=weir_sdk.BudgetUsage).tokens_used == 5
