"""A call's event family: built once, when everything about it is known."""

from __future__ import annotations

from typing import Any

from weir_core.clock import rfc3339
from weir_core.periods import month_at
from weir_proxy.call import Call
from weir_proxy.capture import capture
from weir_proxy.settlement import Settlement
from weir_streams.events import Analytics, BudgetUsage, Event, Latency, ProxyLog


def build_family(call: Call, settlement: Settlement, total_ms: float, capture_limit: int) -> list[Event]:
    """The events that the call leaves, by the rules of docs/events.md.

    A proxy log always; analytics when the call was answered or attempted; budget usage when what was
    attempted is metered.
    """
    identity = _identity(call)
    family: list[Event] = [_proxy_log(call, identity, total_ms, capture_limit)]
    attempted = bool(call.attempts)
    if attempted or call.outcome == "served":
        family.append(_analytics(call, identity, settlement))
    if attempted and call.operation is not None and call.operation.metered:
        family.append(_budget_usage(call, identity, settlement))
    return family


def _identity(call: Call) -> dict[str, Any]:
    caller = call.caller
    llm = call.served.llm
    return {
        "request_id": call.info.request_id,
        "client_request_id": call.client_request_id,
        "trace_id": call.trace.trace_id,
        "timestamp": rfc3339(call.started_us),
        "edge_id": call.slot.admission.edge_id,
        "edge_namespace": call.slot.admission.edge_namespace,
        "app_id": caller.app.id if caller is not None else None,
        "user_id": caller.user_id if caller is not None else None,
        "credential_id": caller.credential_id if caller is not None else None,
        "llm_id": llm.id,
        "llm_slug": llm.slug,
        "vendor": llm.vendor,
    }


def _proxy_log(call: Call, identity: dict[str, Any], total_ms: float, capture_limit: int) -> ProxyLog:
    how = call.body_capture
    request = capture(call.upstream_body or call.body, capture_limit, how)
    response = capture(call.response_body, capture_limit, how, call.response_sha256)
    return ProxyLog(
        **identity,
        event_id=call.slot.event_ids.proxy_log,
        model_name=call.model,
        method=call.method,
        path=call.path,
        response_code=call.status,
        outcome=call.outcome,
        blocked_by=call.blocked_by,
        stream=call.streams,
        chunk_count=call.chunk_count,
        latency_ms=Latency(
            total=total_ms, upstream=call.upstream_ms, first_byte=call.first_byte_ms, plugins=call.plugin_ms
        ),
        request_bytes=len(call.body),
        response_bytes=call.response_bytes,
        request_body=request.text,
        request_body_encoding=request.encoding,
        request_body_truncated=request.truncated,
        request_body_sha256=request.sha256,
        response_body=response.text,
        response_body_encoding=response.encoding,
        response_body_truncated=response.truncated,
        response_body_sha256=response.sha256,
        attempts=call.attempts,
        metadata=call.info.metadata,
    )


def _analytics(call: Call, identity: dict[str, Any], settlement: Settlement) -> Analytics:
    usage, answer = settlement.usage, call.answer
    return Analytics(
        **identity,
        event_id=call.slot.event_ids.analytics,
        outcome=call.outcome,
        model_name=(answer.model if answer is not None else None) or call.model,
        prompt_tokens=usage.prompt_tokens,
        response_tokens=usage.response_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        total_tokens=usage.total_tokens,
        usage_source=usage.source,
        cost=settlement.cost,
        price_version=settlement.price_version,
        choices=answer.choices if answer is not None else 0,
        tool_calls=answer.tool_calls if answer is not None else 0,
        finish_reasons=list(answer.finish_reasons) if answer is not None else [],
        attempts=call.attempts,
    )


def _budget_usage(call: Call, identity: dict[str, Any], settlement: Settlement) -> BudgetUsage:
    period = month_at(call.started_us)
    return BudgetUsage(
        **identity,
        event_id=call.slot.event_ids.budget_usage,
        tokens_used=settlement.usage.total_tokens,
        prompt_tokens=settlement.usage.prompt_tokens,
        response_tokens=settlement.usage.response_tokens,
        cost=settlement.cost,
        period_id=period.id,
        period_start=period.start,
        period_end=period.end,
    )
