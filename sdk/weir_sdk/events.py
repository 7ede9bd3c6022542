"""The three events of a call, as collectors read them. Unknown fields of newer gateways are ignored.

Times are RFC 3339 in UTC with microseconds; costs are decimal strings in ``currency``.
"""

from __future__ import annotations

from typing import Any

import msgspec


class Event(msgspec.Struct, kw_only=True, frozen=True):
    """What all three have: the ids and the moment.

    ``event_id`` is unique to one event, and the key to tell a repeated one by.
    """

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

    def to_json(self) -> bytes:
        """One line of JSON, ready for a file or a sink."""
        return msgspec.json.encode(self)


class Latency(msgspec.Struct, kw_only=True, frozen=True):
    """Milliseconds: the whole call, the upstream's part, to the first byte, and each plugin's share."""

    total: float = 0.0
    upstream: float | None = None
    first_byte: float | None = None
    plugins: dict[str, float] = {}


class Attempt(msgspec.Struct, kw_only=True, frozen=True):
    """One call to an upstream on behalf of the request."""

    llm_id: int
    status: int | None = None
    error: str | None = None
    upstream_request_id: str | None = None
    latency_ms: float = 0.0


class ProxyLog(Event, kw_only=True, frozen=True):
    """What was asked and answered.

    ``outcome`` is one of served, blocked, denied, upstream_error, client_aborted, gateway_error. A body
    that is not UTF-8 is base64, and its ``_encoding`` says so.
    """

    model_name: str | None = None
    method: str
    path: str
    response_code: int
    outcome: str
    blocked_by: str | None = None
    stream: bool = False
    chunk_count: int = 0
    latency_ms: Latency = Latency()
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


class Analytics(Event, kw_only=True, frozen=True):
    """What the call consumed and what it cost. ``cost`` is None when the price is unknown.

    ``prompt_tokens`` includes cache reads and writes, ``response_tokens`` includes reasoning. ``outcome`` is
    the proxy log's; None in events of gateways before they carried it.
    """

    model_name: str | None = None
    outcome: str | None = None
    prompt_tokens: int = 0
    response_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    total_tokens: int = 0
    usage_source: str = "none"
    cost: str | None = None
    currency: str = "USD"
    price_version: str | None = None
    choices: int = 0
    tool_calls: int = 0
    finish_reasons: list[str] = []
    attempts: list[Attempt] = []


class BudgetUsage(Event, kw_only=True, frozen=True):
    """What the call takes from a budget."""

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
