"""The three events that every call leaves. JSON Schemas in ``schemas/`` say the same to other readers.

Field names are promises (docs/events.md): records, SDK messages and built-in sinks use the same ones.
Times are RFC 3339 in UTC with microseconds; costs are decimal strings in ``currency``.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Outcome = Literal["served", "blocked", "denied", "upstream_error", "client_aborted", "gateway_error"]
UsageSource = Literal["provider", "estimated", "none"]

PROXY_LOG_TOPIC = "weir.proxy-log.v1"
ANALYTICS_TOPIC = "weir.analytics.v1"
BUDGET_USAGE_TOPIC = "weir.budget-usage.v1"
SPEND_TOPIC = "weir.spend.v1"
ALERT_TOPIC = "weir.alert.v1"
DEAD_LETTER_TOPIC = "weir.dead-letter.v1"
EVENT_TOPICS = (PROXY_LOG_TOPIC, ANALYTICS_TOPIC, BUDGET_USAGE_TOPIC)


class Identity(msgspec.Struct, kw_only=True):
    """The ids and the moment that all events of one request share."""

    event_id: str
    spool_id: str = ""
    spool_seq: int = 0
    request_id: str
    client_request_id: str | None = None
    trace_id: str | None = None
    timestamp: str
    edge_id: str = ""
    edge_namespace: str = ""
    app_id: int | None = None
    user_id: str | None = None
    credential_id: int | None = None
    llm_id: int | None = None
    llm_slug: str | None = None
    vendor: str | None = None


class Latency(msgspec.Struct, kw_only=True):
    """Milliseconds: the whole call, the upstream's part, to the first byte, and each plugin's share."""

    total: float = 0.0
    upstream: float | None = None
    first_byte: float | None = None
    plugins: dict[str, float] = {}


class Attempt(msgspec.Struct, kw_only=True):
    """One call to an upstream on behalf of the request."""

    llm_id: int
    status: int | None = None
    error: str | None = None
    upstream_request_id: str | None = None
    latency_ms: float = 0.0


class ProxyLog(Identity, kw_only=True):
    """What was asked and answered."""

    model_name: str | None = None
    method: str
    path: str
    response_code: int
    outcome: Outcome
    blocked_by: str | None = None
    stream: bool = False
    chunk_count: int = 0
    latency_ms: Latency
    request_bytes: int = 0
    response_bytes: int = 0
    request_body: str | None = None
    request_body_encoding: str | None = None
    request_body_truncated: bool = False
    request_body_sha256: str | None = None
    response_body: str | None = None
    response_body_encoding: str | None = None
    response_body_truncated: bool = False
    response_body_sha256: str | None = None
    attempts: list[Attempt] = []
    metadata: dict[str, Any] = {}


class Analytics(Identity, kw_only=True):
    """What it consumed and what it cost."""

    model_name: str | None = None
    outcome: Outcome | None = None
    prompt_tokens: int = 0
    response_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    total_tokens: int = 0
    usage_source: UsageSource = "none"
    cost: str | None = None
    currency: str = "USD"
    price_version: str | None = None
    choices: int = 0
    tool_calls: int = 0
    finish_reasons: list[str] = []
    attempts: list[Attempt] = []


class BudgetUsage(Identity, kw_only=True):
    """What it takes from a budget; written for every metered upstream attempt."""

    tokens_used: int = 0
    prompt_tokens: int = 0
    response_tokens: int = 0
    cost: str | None = None
    currency: str = "USD"
    requests_count: int = 1
    period_id: str = ""
    period_start: str = ""
    period_end: str = ""
    limit: str | None = None
    budget_revision: int = 0


Event = ProxyLog | Analytics | BudgetUsage

TOPIC_OF: dict[type[Event], str] = {
    ProxyLog: PROXY_LOG_TOPIC,
    Analytics: ANALYTICS_TOPIC,
    BudgetUsage: BUDGET_USAGE_TOPIC,
}


class EncodedEvent(msgspec.Struct, frozen=True, gc=False):
    """One event as it stands in the spool and on a topic: routing key and JSON value."""

    topic: str
    key: bytes
    value: bytes


_ENCODER = msgspec.json.Encoder()


def encode(event: Event) -> EncodedEvent:
    """Encode with the topic's key: the app id, or ``llm:<id>`` before authentication."""
    key = routing_key(event.app_id, event.llm_id)
    return EncodedEvent(TOPIC_OF[type(event)], key, _ENCODER.encode(event))


def routing_key(app_id: int | None, llm_id: int | None) -> bytes:
    """The key of an event's topic: order is kept within it."""
    return b"llm:%d" % (llm_id or 0) if app_id is None else b"%d" % app_id
