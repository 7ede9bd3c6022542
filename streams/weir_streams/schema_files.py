"""The JSON Schemas (2020-12) and the AsyncAPI document of the package, for readers in any language."""

from __future__ import annotations

from importlib.resources import files
from typing import Any, Final

import msgspec

from weir_streams.events import (
    ALERT_TOPIC,
    ANALYTICS_TOPIC,
    BUDGET_USAGE_TOPIC,
    DEAD_LETTER_TOPIC,
    PROXY_LOG_TOPIC,
    SPEND_TOPIC,
)
from weir_streams.payloads import EDGE_PAYLOAD_RESULT_TOPIC, EDGE_PAYLOAD_TOPIC

FILE_OF_TOPIC: Final = {
    PROXY_LOG_TOPIC: "proxy_log.v1.json",
    ANALYTICS_TOPIC: "analytics.v1.json",
    BUDGET_USAGE_TOPIC: "budget_usage.v1.json",
    EDGE_PAYLOAD_TOPIC: "edge_payload.v1.json",
    EDGE_PAYLOAD_RESULT_TOPIC: "edge_payload_result.v1.json",
    SPEND_TOPIC: "spend.v1.json",
    ALERT_TOPIC: "alert.v1.json",
    DEAD_LETTER_TOPIC: "dead_letter.v1.json",
}
"""The schema of each topic's values."""


def event_schema(topic: str) -> dict[str, Any]:
    """The schema of the values of one of our topics: events, edge payloads, windows, alerts, dead letters.

    Raises:
        KeyError: It is another topic.
    """
    return _read(FILE_OF_TOPIC[topic])


def kafka_headers_schema() -> dict[str, Any]:
    """The schema of the headers that accompany each value on Kafka, as text by name."""
    return _read("kafka_headers.v1.json")


def asyncapi_document() -> dict[str, Any]:
    """The AsyncAPI 3.0 document: each topic with its key, its headers and the schema file of its values."""
    return _read("asyncapi.json")


def _read(name: str) -> dict[str, Any]:
    text = files("weir_streams").joinpath("schemas", name).read_bytes()
    document: dict[str, Any] = msgspec.json.decode(text)
    return document
