"""The three events on the wire.

Our own plugins get an event as it stands in its topic. Go's messages have less of it, in other units: costs
are ten-thousandths as floats, times are seconds, and prompt tokens leave out cached ones.
"""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, TypeAlias

import msgspec

from weir_proto import plugin_pb2 as pb
from weir_sdk.context import CallInfo, call_of
from weir_sdk.events import Analytics, BudgetUsage, ProxyLog
from weir_sdk.wire.context import Peer, context_from_wire, context_to_wire, user_number

EventRequest: TypeAlias = pb.ProxyLogRequest | pb.AnalyticsRequest | pb.BudgetUsageRequest

_COST_UNITS: Final = 10_000
_MAX_INT32: Final = 2**31 - 1


def proxy_log_to_wire(log: ProxyLog, peer: Peer) -> pb.ProxyLogRequest:
    """A proxy log, for HandleProxyLog."""
    context = context_to_wire(call_of(log), peer)
    if peer.ours:
        return pb.ProxyLogRequest(context=context, event_json=log.to_json())
    return pb.ProxyLogRequest(
        app_id=log.app_id or 0,
        user_id=user_number(log.user_id),
        vendor=log.vendor or "",
        request_body=_body_bytes(log.request_body, log.request_body_encoding),
        response_body=_body_bytes(log.response_body, log.response_body_encoding),
        response_code=log.response_code,
        timestamp=_seconds(log.timestamp),
        request_id=log.request_id,
        context=context,
    )


def analytics_to_wire(analytics: Analytics, peer: Peer) -> pb.AnalyticsRequest:
    """An analytics event, for HandleAnalytics."""
    context = context_to_wire(call_of(analytics), peer)
    if peer.ours:
        return pb.AnalyticsRequest(context=context, event_json=analytics.to_json())
    cached = analytics.cache_read_tokens + analytics.cache_write_tokens
    return pb.AnalyticsRequest(
        llm_id=analytics.llm_id or 0,
        model_name=analytics.model_name or "",
        vendor=analytics.vendor or "",
        prompt_tokens=_int32(analytics.prompt_tokens - cached),
        response_tokens=_int32(analytics.response_tokens),
        cache_write_prompt_tokens=_int32(analytics.cache_write_tokens),
        cache_read_prompt_tokens=_int32(analytics.cache_read_tokens),
        total_tokens=_int32(analytics.total_tokens),
        cost=_cost_to_wire(analytics.cost),
        currency=analytics.currency,
        app_id=analytics.app_id or 0,
        user_id=user_number(analytics.user_id),
        timestamp=_seconds(analytics.timestamp),
        tool_calls=_int32(analytics.tool_calls),
        choices=_int32(analytics.choices),
        request_id=analytics.request_id,
        context=context,
    )


def budget_usage_to_wire(usage: BudgetUsage, peer: Peer) -> pb.BudgetUsageRequest:
    """A budget event, for HandleBudgetUsage. It does not say which of its prompt tokens were cached."""
    context = context_to_wire(call_of(usage), peer)
    if peer.ours:
        return pb.BudgetUsageRequest(context=context, event_json=usage.to_json())
    return pb.BudgetUsageRequest(
        app_id=usage.app_id or 0,
        llm_id=usage.llm_id or 0,
        tokens_used=usage.tokens_used,
        cost=_cost_to_wire(usage.cost),
        requests_count=_int32(usage.requests_count),
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.response_tokens,
        period_start=_seconds(usage.period_start),
        period_end=_seconds(usage.period_end),
        timestamp=_seconds(usage.timestamp),
        request_id=usage.request_id,
        context=context,
    )


def proxy_log_from_wire(wire: pb.ProxyLogRequest) -> tuple[CallInfo, ProxyLog]:
    """What handle_proxy_log gets.

    Raises:
        msgspec.MsgspecError: The host sent an event that is none.
    """
    call = context_from_wire(wire.context)
    if wire.event_json:
        return call, msgspec.json.decode(wire.event_json, type=ProxyLog)
    request_body, request_encoding = _body_text(wire.request_body)
    response_body, response_encoding = _body_text(wire.response_body)
    log = ProxyLog(
        **_identity(wire, call, "proxy_log"),
        method=call.metadata.get("method", ""),
        path=call.metadata.get("path", ""),
        response_code=wire.response_code,
        outcome="served" if wire.response_code < 400 else "upstream_error",
        request_bytes=len(wire.request_body),
        response_bytes=len(wire.response_body),
        request_body=request_body,
        request_body_encoding=request_encoding,
        response_body=response_body,
        response_body_encoding=response_encoding,
        metadata=dict(call.metadata),
    )
    return call, log


def analytics_from_wire(wire: pb.AnalyticsRequest) -> tuple[CallInfo, Analytics]:
    """What handle_analytics gets; raises as ``proxy_log_from_wire``."""
    call = context_from_wire(wire.context)
    if wire.event_json:
        return call, msgspec.json.decode(wire.event_json, type=Analytics)
    cached = wire.cache_read_prompt_tokens + wire.cache_write_prompt_tokens
    analytics = Analytics(
        **_identity(wire, call, "analytics"),
        model_name=wire.model_name or None,
        prompt_tokens=wire.prompt_tokens + cached,
        response_tokens=wire.response_tokens,
        cache_read_tokens=wire.cache_read_prompt_tokens,
        cache_write_tokens=wire.cache_write_prompt_tokens,
        total_tokens=wire.total_tokens,
        usage_source="provider" if wire.total_tokens else "none",
        cost=_cost_from_wire(wire.cost),
        currency=wire.currency or "USD",
        choices=wire.choices,
        tool_calls=wire.tool_calls,
    )
    return call, analytics


def budget_usage_from_wire(wire: pb.BudgetUsageRequest) -> tuple[CallInfo, BudgetUsage]:
    """What handle_budget_usage gets; raises as ``proxy_log_from_wire``."""
    call = context_from_wire(wire.context)
    if wire.event_json:
        return call, msgspec.json.decode(wire.event_json, type=BudgetUsage)
    usage = BudgetUsage(
        **_identity(wire, call, "budget_usage"),
        tokens_used=wire.tokens_used,
        prompt_tokens=wire.prompt_tokens,
        response_tokens=wire.completion_tokens,
        cost=_cost_from_wire(wire.cost),
        requests_count=wire.requests_count,
        period_start=_timestamp(wire.period_start),
        period_end=_timestamp(wire.period_end),
    )
    return call, usage


def _identity(wire: EventRequest, call: CallInfo, kind: str) -> dict[str, Any]:
    """What all events have. A host that numbers no events gets ids that are the same at every delivery."""
    request_id = wire.request_id or call.request_id
    return {
        "event_id": call.metadata.get("event_id") or f"{request_id}:{kind}",
        "request_id": request_id,
        "timestamp": _timestamp(wire.timestamp),
        "edge_id": call.metadata.get("edge_id", ""),
        "edge_namespace": call.metadata.get("edge_namespace", ""),
        "app_id": wire.app_id or call.app_id,
        "user_id": call.user_id
        or (str(getattr(wire, "user_id", 0)) if getattr(wire, "user_id", 0) else None),
        "llm_id": getattr(wire, "llm_id", 0) or call.llm_id,
        "llm_slug": call.llm_slug or None,
        "vendor": getattr(wire, "vendor", "") or call.vendor or None,
    }


def _seconds(timestamp: str) -> int:
    return int(datetime.fromisoformat(timestamp).timestamp()) if timestamp else 0


def _timestamp(seconds: int) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _cost_to_wire(cost: str | None) -> float:
    return 0.0 if cost is None else float(Decimal(cost) * _COST_UNITS)


def _cost_from_wire(cost: float) -> str:
    exact = Decimal(repr(cost)) / _COST_UNITS
    return format(exact.normalize(), "f") if exact else "0"


def _int32(count: int) -> int:
    return max(0, min(count, _MAX_INT32))


def _body_bytes(body: str | None, encoding: str | None) -> bytes:
    if body is None:
        return b""
    if encoding == "base64":
        try:
            return base64.b64decode(body, validate=True)
        except binascii.Error:  # cut in the middle of a group of four
            return base64.b64decode(body[: len(body) // 4 * 4])
    return body.encode("utf-8", "surrogatepass")


def _body_text(body: bytes) -> tuple[str | None, str | None]:
    try:
        return (body.decode("utf-8") or None), None
    except UnicodeDecodeError:
        return base64.b64encode(body).decode("ascii"), "base64"
