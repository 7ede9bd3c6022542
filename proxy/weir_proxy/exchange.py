"""Preparing the upstream request, and the bookkeeping around each attempt."""

from __future__ import annotations

import time

from weir_core.errors import InvalidInputError
from weir_core.vendors.body import with_include_usage, with_model
from weir_proxy.call import Call
from weir_proxy.errors import RefusalError, UpstreamError
from weir_proxy.headers import header_lines, query_without_key, upstream_lines
from weir_proxy.settlement import reserve
from weir_proxy.upstream import Headers, UpstreamRequest
from weir_streams.events import Attempt

_OWN_REQUEST_ID = ("x-request-id", "request-id", "apim-request-id", "x-ms-request-id")


def choose_model(call: Call) -> None:
    """Settle which model runs: the body's, else the LLM's default, and only an allowed one.

    Raises:
        RefusalError: 400 when there is none, 403 when it is not allowed.
    """
    operation, fields, llm = call.operation, call.fields, call.served.llm
    call.upstream_body = call.body
    if operation is None or fields is None or not operation.model_in_body:
        return
    call.model = fields.model or llm.default_model
    if not call.model:
        raise RefusalError(400, "model_required", "The body names no model and the LLM has no default_model.")
    if not call.served.allows_model(call.model):
        raise RefusalError(
            403, "model_not_allowed", f"The model {call.model!r} is not allowed on {llm.slug!r}."
        )
    if not fields.model:
        call.upstream_body = with_model(call.upstream_body, call.model)


def ask_for_usage(call: Call) -> None:
    """Make a stream report its usage; the extra chunk is kept from a client that did not ask for it.

    Raises:
        RefusalError: 400 when ``stream_options`` is not an object.
    """
    operation, fields = call.operation, call.fields
    if operation is None or fields is None:
        return
    if operation.wants_include_usage and fields.stream and not fields.include_usage:
        try:
            call.upstream_body = with_include_usage(call.upstream_body)
        except InvalidInputError as error:
            raise RefusalError(400, "invalid_request_body", str(error), field=error.field) from error
        call.hides_usage_chunk = True


def begin_attempt(call: Call) -> UpstreamRequest:
    """Compose what goes out, and note its worst case durably before its first byte does."""
    operation = call.operation
    metered = operation is not None and operation.metered
    headers = _header_lines(call)
    worst = reserve(call)
    call.slot.mark_sending(
        model=call.model,
        prompt_tokens=worst.usage.prompt_tokens,
        response_tokens=worst.usage.response_tokens,
        cost_nano=worst.cost_nano,
        metered=metered,
        stream=call.streams,
    )
    call.reserved = worst.usage
    call.sent_upstream = True
    call.attempts.append(Attempt(llm_id=call.served.llm.id))
    url = call.target.url
    query = query_without_key(call.query) if call.query else ""
    return UpstreamRequest(
        method=call.method,
        url=f"{url}?{query}" if query else url,
        headers=headers,
        body=call.upstream_body,
        timeout_s=call.served.timeout_s,
    )


def _header_lines(call: Call) -> str:
    """All headers, whatever the client and the plugins sent: the gateway's own have the last word."""
    served = call.served
    own = [("x-request-id", call.request_id), ("traceparent", call.trace.traceparent)]
    if call.trace.tracestate:
        own.append(("tracestate", call.trace.tracestate))
    for item in served.default_headers:
        if item[0] not in call.headers.first and item[0] not in call.changed_headers:
            own.append(item)
    return (
        upstream_lines(call.headers, call.changed_headers, served.reserved_headers)
        + served.set_lines
        + header_lines(own)
    )


def note_answer(call: Call, status: int, headers: Headers) -> None:
    """Note that the upstream began to answer."""
    attempt = call.attempts[-1]
    attempt.status = status
    for name, value in headers:
        if name in _OWN_REQUEST_ID:
            attempt.upstream_request_id = value
            break


def note_end(call: Call, began: float) -> None:
    """Note how long the attempt took, from ``began`` (``time.perf_counter``)."""
    call.attempts[-1].latency_ms = call.upstream_ms = round((time.perf_counter() - began) * 1000, 3)


def note_failure(call: Call, error: UpstreamError) -> None:
    """Note why the attempt gave no whole answer, and whether it can have cost anything."""
    call.attempts[-1].error = error.code
    call.sent_upstream = error.reached
