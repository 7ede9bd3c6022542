"""What a call leaves behind: made once, when everything about it is known."""

from __future__ import annotations

from weir_proxy.call import Call
from weir_proxy.capture import capture
from weir_proxy.settlement import Settlement
from weir_streams.calls import CallRecord


def build_record(call: Call, settlement: Settlement, total_ms: float, capture_limit: int) -> CallRecord:
    """The call as the spool keeps it, by the rules of docs/events.md.

    It leaves a proxy log always; analytics when it was answered or attempted; budget usage when what was
    attempted is metered.
    """
    admission, caller, llm = call.slot.admission, call.caller, call.served.llm
    operation, usage, answer = call.operation, settlement.usage, call.answer
    how = call.body_capture
    request = capture(call.upstream_body or call.body, capture_limit, how)
    response = capture(call.response_body, capture_limit, how, call.response_sha256)
    attempted = bool(call.attempts)
    record = CallRecord(
        event_ids=call.slot.event_ids,
        started_us=call.started_us,
        analysed=attempted or call.outcome == "served",
        billed=attempted and operation is not None and operation.metered,
        request_id=call.info.request_id,
        client_request_id=call.client_request_id,
        trace_id=call.trace.trace_id,
        edge_id=admission.edge_id,
        edge_namespace=admission.edge_namespace,
        llm_id=llm.id,
        llm_slug=llm.slug,
        vendor=llm.vendor,
        model_name=call.model,
        method=call.method,
        path=call.path,
        response_code=call.status,
        outcome=call.outcome,
        blocked_by=call.blocked_by,
        stream=call.streams,
        chunk_count=call.chunk_count,
        total_ms=total_ms,
        upstream_ms=call.upstream_ms,
        first_byte_ms=call.first_byte_ms,
        plugin_ms=call.plugin_ms,
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
        prompt_tokens=usage.prompt_tokens,
        response_tokens=usage.response_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        total_tokens=usage.total_tokens,
        usage_source=usage.source,
        cost=settlement.cost,
        price_version=settlement.price_version,
    )
    if caller is not None:
        record.app_id = caller.app.id
        record.user_id = caller.user_id
        record.credential_id = caller.credential_id
    if answer is not None:
        record.answered_by = answer.model
        record.choices = answer.choices
        record.tool_calls = answer.tool_calls
        record.finish_reasons = answer.finish_reasons
    return record
