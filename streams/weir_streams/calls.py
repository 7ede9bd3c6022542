"""A finished call as one object: everything its events say, each thing once, and the events made of it.

The three events of a call share most of what they say. The spool stores the call, and whoever reads the spool
makes the events (see ``stored_calls``), so that a request pays for neither.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from weir_core.clock import rfc3339
from weir_core.periods import month_at
from weir_streams.admission import EventIds
from weir_streams.events import (
    Analytics,
    Attempt,
    BudgetUsage,
    Event,
    Latency,
    Outcome,
    ProxyLog,
    UsageSource,
    routing_key,
)


class CallRecord(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What a call leaves: a proxy log, analytics if it was ``analysed``, budget usage if it was ``billed``.

    Fields are named as in the events, where docs/events.md explains them. Of its own are:

    Attributes:
        event_ids: The events' ids.
        started_us: Microseconds since the Unix epoch; the events' ``timestamp`` and the budget's period.
        analysed: Whether it leaves analytics.
        billed: Whether it leaves budget usage; then it leaves analytics, too.
        total_ms: ``latency_ms`` of the proxy log, as are ``upstream_ms``, ``first_byte_ms``, ``plugin_ms``.
        answered_by: The model that answered, where it said so; the analytics' ``model_name``.
    """

    event_ids: EventIds
    started_us: int
    analysed: bool = False
    billed: bool = False
    spool_id: str = ""

    request_id: str
    client_request_id: str | None = None
    trace_id: str | None = None
    edge_id: str = ""
    edge_namespace: str = ""
    app_id: int | None = None
    user_id: str | None = None
    credential_id: int | None = None
    llm_id: int | None = None
    llm_slug: str | None = None
    vendor: str | None = None

    model_name: str | None = None
    method: str
    path: str
    response_code: int
    outcome: Outcome
    blocked_by: str | None = None
    stream: bool = False
    chunk_count: int = 0
    total_ms: float = 0.0
    upstream_ms: float | None = None
    first_byte_ms: float | None = None
    plugin_ms: dict[str, float] = {}
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

    answered_by: str | None = None
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
    finish_reasons: tuple[str, ...] = ()

    def __len__(self) -> int:
        """How many events it leaves."""
        return 1 + self.analysed + self.billed

    def events(self) -> list[Event]:
        """Its events, in the order of their numbers."""
        identity = _identity(self)
        return [maker(self, identity, self.metadata) for maker in _MAKERS[: len(self)]]


def encode_call(call: CallRecord, spool_id: str) -> tuple[bytes, bytes, bytes]:
    """The call's routing key, its metadata (empty for none) and all else, each of the last two as JSON.

    Metadata are apart because a plugin made them: nobody has to understand them to make the events.

    Raises:
        TypeError, ValueError, OverflowError, RecursionError: A field holds what JSON cannot.
    """
    call.spool_id = spool_id
    key = routing_key(call.app_id, call.llm_id)
    if not call.metadata:
        return key, b"", _ENCODER.encode(call)
    metadata = _ENCODER.encode(call.metadata)
    return key, metadata, _ENCODER.encode(msgspec.structs.replace(call, metadata={}))


def _identity(call: CallRecord) -> dict[str, Any]:
    return {
        "request_id": call.request_id,
        "client_request_id": call.client_request_id,
        "trace_id": call.trace_id,
        "timestamp": rfc3339(call.started_us),
        "edge_id": call.edge_id,
        "edge_namespace": call.edge_namespace,
        "app_id": call.app_id,
        "user_id": call.user_id,
        "credential_id": call.credential_id,
        "llm_id": call.llm_id,
        "llm_slug": call.llm_slug,
        "vendor": call.vendor,
    }


def _proxy_log(call: CallRecord, identity: dict[str, Any], metadata: Any) -> Event:
    return ProxyLog(
        **identity,
        event_id=call.event_ids.proxy_log,
        model_name=call.model_name,
        method=call.method,
        path=call.path,
        response_code=call.response_code,
        outcome=call.outcome,
        blocked_by=call.blocked_by,
        stream=call.stream,
        chunk_count=call.chunk_count,
        latency_ms=Latency(
            total=call.total_ms,
            upstream=call.upstream_ms,
            first_byte=call.first_byte_ms,
            plugins=call.plugin_ms,
        ),
        request_bytes=call.request_bytes,
        response_bytes=call.response_bytes,
        request_body=call.request_body,
        request_body_encoding=call.request_body_encoding,
        request_body_truncated=call.request_body_truncated,
        request_body_sha256=call.request_body_sha256,
        response_body=call.response_body,
        response_body_encoding=call.response_body_encoding,
        response_body_truncated=call.response_body_truncated,
        response_body_sha256=call.response_body_sha256,
        attempts=call.attempts,
        metadata=metadata,
    )


def _analytics(call: CallRecord, identity: dict[str, Any], _metadata: Any) -> Event:
    return Analytics(
        **identity,
        event_id=call.event_ids.analytics,
        model_name=call.answered_by or call.model_name,
        outcome=call.outcome,
        prompt_tokens=call.prompt_tokens,
        response_tokens=call.response_tokens,
        cache_read_tokens=call.cache_read_tokens,
        cache_write_tokens=call.cache_write_tokens,
        reasoning_tokens=call.reasoning_tokens,
        total_tokens=call.total_tokens,
        usage_source=call.usage_source,
        cost=call.cost,
        currency=call.currency,
        price_version=call.price_version,
        choices=call.choices,
        tool_calls=call.tool_calls,
        finish_reasons=list(call.finish_reasons),
        attempts=call.attempts,
    )


def _budget_usage(call: CallRecord, identity: dict[str, Any], _metadata: Any) -> Event:
    period = month_at(call.started_us)
    return BudgetUsage(
        **identity,
        event_id=call.event_ids.budget_usage,
        tokens_used=call.total_tokens,
        prompt_tokens=call.prompt_tokens,
        response_tokens=call.response_tokens,
        cost=call.cost,
        currency=call.currency,
        period_id=period.id,
        period_start=period.start,
        period_end=period.end,
    )


_MAKERS: Final = (_proxy_log, _analytics, _budget_usage)
_ENCODER: Final = msgspec.json.Encoder()
