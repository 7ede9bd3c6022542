"""The messages of the streams app: they and their schemas say the same."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import jsonschema
import msgspec
import pytest
from tests.streams.windows.bench import LENGTH_S, NOON_S, billed

from weir_core.clock import rfc3339
from weir_core.ids import new_id
from weir_streams.events import ALERT_TOPIC, SPEND_TOPIC
from weir_streams.schema_files import event_schema, kafka_headers_schema
from weir_streams.windows.messages import (
    ALERT_TYPE,
    SPEND_TYPE,
    Alert,
    Spend,
    alert_value,
    headers,
    spend_key,
    spend_value,
)
from weir_streams.windows.rules import AppWindow, LlmWindow, Rules, app_alerts, llm_alerts
from weir_streams.windows.sums import WindowKey, key_of, sums_of


def valid(schema: dict[str, Any], value: Any) -> Any:
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker()).validate(value)
    return value


@pytest.mark.parametrize(("struct", "topic"), [(Spend, SPEND_TOPIC), (Alert, ALERT_TOPIC)])
def test_struct_and_schema_have_the_same_fields_in_the_same_order(struct: Any, topic: str) -> None:
    schema = event_schema(topic)
    assert list(schema["properties"]) == list(struct.__struct_fields__) == schema["required"]
    assert all(item["description"] for item in schema["properties"].values())


def test_a_window_is_valid_and_says_its_sums_exactly() -> None:
    one = billed(cost="0.000000001", attempts=[{"latency_ms": 0.5}])
    sent = spend_value(key_of(one, LENGTH_S), sums_of(one), LENGTH_S)
    found = valid(event_schema(SPEND_TOPIC), msgspec.json.decode(sent))
    assert (found["cost"], found["latency_ms"], found["total_tokens"]) == ("0.000000001", 0.5, 15)
    assert found["window_start"] == rfc3339(NOON_S * 1_000_000)
    assert found["window_end"] == rfc3339((NOON_S + LENGTH_S) * 1_000_000)


def test_a_window_of_nobody_has_nulls_and_a_correction_may_be_below_zero() -> None:
    one = billed(app_id=None, llm_id=None, model_name=None, corrects="event", cost="-0.5")
    sent = spend_value(key_of(one, LENGTH_S), sums_of(one), LENGTH_S)
    found = valid(event_schema(SPEND_TOPIC), msgspec.json.decode(sent))
    assert (found["app_id"], found["llm_id"], found["model_name"], found["cost"]) == (
        None,
        None,
        None,
        "-0.5",
    )


def test_windows_of_different_lengths_or_models_have_different_keys() -> None:
    key = WindowKey(0, 1, 2, "a/b", "USD")
    keys = {spend_key(key, 60), spend_key(key, 300), spend_key(key._replace(model_name="a"), 60)}
    assert keys == {b"60/0/1/2/USD/a/b", b"300/0/1/2/USD/a/b", b"60/0/1/2/USD/a"}


def test_alerts_are_valid() -> None:
    rules = Rules(spend_nano=1, error_rate=Decimal("0.1"))
    spent = app_alerts(rules, AppWindow(NOON_S, 7, "USD", 10, [], 5, 1), LENGTH_S)
    failed = llm_alerts(rules, LlmWindow(NOON_S, 3, 20, 20), LENGTH_S)
    for alert in (*spent, *failed):
        valid(event_schema(ALERT_TOPIC), msgspec.json.decode(alert_value(alert)))


@pytest.mark.parametrize("kind", [SPEND_TYPE, ALERT_TYPE])
def test_headers_are_as_their_schema_says(kind: str) -> None:
    named = {name: value.decode() for name, value in headers(kind, new_id(), "app/7", NOON_S * 1_000_000)}
    valid(kafka_headers_schema(), named)
