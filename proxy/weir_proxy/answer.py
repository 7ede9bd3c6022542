"""Answers on their way to the client: a whole body in one piece, refusals, and what plugins answer."""

from __future__ import annotations

import time
from collections.abc import Iterable

from weir_proxy.call import Call
from weir_proxy.errors import PluginAnswerError, RefusalError
from weir_proxy.exchange import begin_attempt, note_answer, note_end
from weir_proxy.gateway import Gateway
from weir_proxy.headers import client_headers, header_changes
from weir_proxy.upstream import UpstreamAnswer, decoded
from weir_sdk import Headers, Response


async def answer_whole(gateway: Gateway, call: Call) -> None:
    """Exchange one request for one whole answer, run the response hooks, record, release."""
    request = begin_attempt(call)
    began = time.perf_counter()
    try:
        answer = await gateway.upstream.send(request)
    finally:
        note_end(call, began)
    note_answer(call, answer.status, answer.headers)
    await finish_whole(gateway, call, answer)


async def finish_whole(gateway: Gateway, call: Call, answer: UpstreamAnswer) -> None:
    """What happens to an answer that is here in full: usage first, then plugins, then the record."""
    encoding = next((value.lower() for name, value in answer.headers if name == "content-encoding"), "")
    plain = decoded(answer.body, encoding)
    _read_answer(call, answer, plain)
    status, headers, body = answer.status, client_headers(answer.headers), answer.body
    if call.served.response and not call.client_gone:
        if plain is not None:
            status, headers, body = await _run_response_hooks(gateway, call, answer, headers, plain)
        else:
            _refuse_unseen(call, encoding)
    call.outcome = "served" if answer.status < 300 else "upstream_error"
    if call.client_gone:
        call.outcome = "client_aborted"
    await release(gateway, call, status, headers, body)


def _refuse_unseen(call: Call, encoding: str) -> None:
    """An answer that cannot be shown to a plugin which guards it is not shown to the client either."""
    guard = next((point for point in call.served.response if point.fail_closed), None)
    if guard is not None:
        raise RefusalError(
            502,
            "upstream_undecodable",
            f"The plugin {guard.plugin} guards this LLM and cannot read an answer with the "
            f"Content-Encoding {encoding!r}.",
            outcome="blocked",
            blocked_by=guard.plugin,
        )


def _read_answer(call: Call, answer: UpstreamAnswer, plain: bytes | None) -> None:
    call.received_chars = len(plain if plain is not None else answer.body)
    if call.operation is not None and plain is not None and answer.status < 300:
        call.answer = call.operation.read_answer(plain)


async def _run_response_hooks(
    gateway: Gateway, call: Call, answer: UpstreamAnswer, headers: list[tuple[str, str]], plain: bytes
) -> tuple[int, list[tuple[str, str]], bytes]:
    """Show the plugins a decoded answer and merge what they changed; untouched answers stay as they came."""
    shown = Headers.from_pairs(item for item in headers if item[0] != "content-encoding")
    before = Response(status_code=answer.status, headers=shown, body=plain, request_id=call.request_id)
    after = await gateway.hooks.response(call, before)
    body = answer.body
    if after.body != plain:
        body = after.body
        headers = [item for item in headers if item[0] != "content-encoding"]
    return after.status_code or answer.status, merge_headers(headers, shown, after.headers), body


def merge_headers(headers: list[tuple[str, str]], shown: Headers, changed: Headers) -> list[tuple[str, str]]:
    """Overwrite by name what a plugin changed; repeats that it did not name survive."""
    changes = header_changes(shown, changed)
    kept = [item for item in headers if item[0] not in changes]
    return kept + [(name, value) for name, value in changes.items() if value is not None]


async def release(
    gateway: Gateway, call: Call, status: int, headers: Iterable[tuple[str, str]], body: bytes
) -> None:
    """Record the call, then send the whole answer; nothing of it leaves before the record is durable."""
    call.status = status
    call.response_body = body
    call.response_bytes = len(body)
    await gateway.recorder.record(call)
    await call.client.answer(status, [*headers, *own_headers(call)], body)


def own_headers(call: Call) -> list[tuple[str, str]]:
    """What the gateway adds to every answer."""
    headers = [("x-request-id", call.request_id)]
    vendors_own = call.served.vendor.request_id_header
    if vendors_own != "x-request-id":
        headers.append((vendors_own, call.request_id))
    headers.extend(call.shown_headers.items())
    return headers


async def refuse(gateway: Gateway, call: Call, refusal: RefusalError) -> None:
    """Answer with the gateway's own error in the vendor's shape."""
    call.outcome = refusal.outcome
    call.blocked_by = refusal.blocked_by
    body = call.served.vendor.error(
        refusal.status, refusal.code, refusal.message, call.request_id, field=refusal.field or None
    )
    headers = [("content-type", "application/json"), *refusal.headers]
    await release(gateway, call, refusal.status, headers, body)


async def cut_off(call: Call) -> None:
    """Never let an answer look complete that was not recorded."""
    if call.client.answering:
        call.client.abort()
        return
    message = "The gateway cannot record calls now. Try again shortly."
    body = call.served.vendor.error(503, "spool_full", message, call.request_id)
    headers = [("content-type", "application/json"), ("retry-after", "1"), *own_headers(call)]
    await call.client.answer(503, headers, body)


async def answer_for_plugin(gateway: Gateway, call: Call, answer: PluginAnswerError) -> None:
    """Answer with what a plugin said: served when it is a success, blocked otherwise."""
    call.outcome = "served" if 200 <= answer.status < 300 else "blocked"
    call.blocked_by = None if call.outcome == "served" else answer.plugin
    headers = dict(answer.headers)
    headers.setdefault("content-type", "application/json")
    dropped = ("content-length", "connection", "transfer-encoding", "x-request-id")
    kept = [(name, value) for name, value in headers.items() if name not in dropped]
    await release(gateway, call, answer.status, kept, answer.body)
