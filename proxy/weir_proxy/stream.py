"""A streamed answer: chunks pass as they come, and only the last event waits for the record."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress

from weir_core.errors import SseEventTooLargeError
from weir_core.vendors import StreamMark, StreamReader
from weir_core.vendors.sse import SseEvent, SseSplitter
from weir_proxy.answer import finish_whole, merge_headers, own_headers
from weir_proxy.call import Call
from weir_proxy.errors import (
    ClientGoneError,
    RefusalError,
    UpstreamBrokenError,
    UpstreamError,
    UpstreamTimeoutError,
)
from weir_proxy.exchange import begin_attempt, note_answer, note_end
from weir_proxy.gateway import Gateway
from weir_proxy.headers import client_headers
from weir_proxy.upstream import UpstreamAnswer, UpstreamStream
from weir_sdk import Headers, Response

_FINISH_S = 10.0


async def answer_stream(gateway: Gateway, call: Call) -> None:
    """Relay server-sent events from the upstream to the client.

    Everything but the terminal event is passed on at once. The terminal event (or the end of the body, where
    there is none) is released when the call is recorded. When the client hangs up, the upstream is cancelled
    and the call is settled by what was received.
    """
    request = begin_attempt(call)
    began = time.perf_counter()
    try:
        with _cancelled_by_hang_up(call) as disarm:
            async with gateway.upstream.stream(request) as upstream:
                note_answer(call, upstream.status, upstream.headers)
                if _is_event_stream(upstream):
                    relay = _Relay(gateway, call)
                    await relay.run(upstream, began)
                    disarm()
                    await relay.finish()
                    return
                body = b"".join([chunk async for chunk in upstream.read()])
    finally:
        note_end(call, began)
    await finish_whole(gateway, call, UpstreamAnswer(upstream.status, upstream.headers, body))


class _Relay:
    """The passage of one stream."""

    def __init__(self, gateway: Gateway, call: Call) -> None:
        assert call.operation is not None
        self._gateway = gateway
        self._call = call
        self._splitter = SseSplitter()
        self._reader: StreamReader = call.operation.stream_reader()
        self._hooks = tuple(point for point in call.served.response if point.stream_mode == "chunks")
        self._chunks: AsyncIterator[bytes]
        self._hash: hashlib._Hash | None = None
        self._captured: list[bytes] = []
        self._captured_bytes = 0
        self._terminal = b""

    async def run(self, upstream: UpstreamStream, began: float) -> None:
        """Headers, chunks, record; in that order whatever happens in between."""
        call = self._call
        await self._start(upstream)
        self._chunks = upstream.read()
        try:
            async with asyncio.timeout(call.served.llm.timeout_seconds):
                await self._pass_chunks(self._chunks, began)
            self._judge_end()
        except TimeoutError:
            self._break_off(UpstreamTimeoutError("The stream took longer than the LLM's timeout_seconds."))
        except UpstreamError as error:
            self._break_off(error)
        except RefusalError as refusal:
            call.outcome, call.blocked_by = refusal.outcome, refusal.blocked_by
            self._terminal = self._error_event(refusal)
        except asyncio.CancelledError:
            call.outcome = "client_aborted" if call.client_gone else "gateway_error"
            raise
        finally:
            note_end(call, began)
            self._take_stock()
        await self._gateway.recorder.record(call)

    async def _start(self, upstream: UpstreamStream) -> None:
        call = self._call
        call.status = upstream.status
        headers = client_headers(upstream.headers)
        if call.served.response:
            shown = Headers.from_pairs(headers)
            before = Response(status_code=upstream.status, headers=shown, request_id=call.request_id)
            after = await self._gateway.hooks.response_headers(call, before)
            headers = merge_headers(headers, shown, after.headers)
        await call.client.start(upstream.status, [*headers, *own_headers(call)])

    async def _pass_chunks(self, chunks: AsyncIterator[bytes], began: float) -> None:
        call = self._call
        async for chunk in chunks:
            if call.first_byte_ms is None:
                call.first_byte_ms = round((time.perf_counter() - began) * 1000, 3)
            passed = await self._judge(chunk)
            if passed:
                call.response_bytes += len(passed)
                self._capture(passed)
                await call.client.write(passed)
            if self._terminal:
                return

    async def _judge(self, chunk: bytes) -> bytes:
        """What of this chunk may pass now; the terminal event and all behind it are held back."""
        try:
            events = self._splitter.feed(chunk)
        except SseEventTooLargeError as error:
            raise UpstreamBrokenError(str(error)) from error
        passed: list[bytes] = []
        for event in events:
            mark = self._reader.feed(event)
            if mark is StreamMark.USAGE_ONLY and self._call.hides_usage_chunk:
                continue
            raw = await self._through_hooks(event) if self._hooks and event.data else event.raw
            self._call.chunk_count += 1
            if self._terminal or mark is StreamMark.TERMINAL:
                self._terminal += raw
            else:
                passed.append(raw)
        return b"".join(passed)

    async def _through_hooks(self, event: SseEvent) -> bytes:
        """Show an event's data to the response plugins; what they change is framed again."""
        call = self._call
        shown = Response(
            status_code=call.status, body=event.data, is_stream_chunk=True, request_id=call.request_id
        )
        after = await self._gateway.hooks.response_body(call, self._hooks, shown)
        if after is shown:
            return event.raw
        body = after.body
        name = b"event: %b\n" % event.name.encode() if event.name else b""
        return name + b"data: " + body.replace(b"\n", b"\ndata: ") + b"\n\n" if body else b""

    def _judge_end(self) -> None:
        """A clean end is a served call when the vendor said that the answer was finished."""
        if self._terminal or self._reader.answer().finish_reasons:
            if not self._hooks:
                self._terminal += self._splitter.rest()
            self._call.outcome = "upstream_error" if self._reader.failed else "served"
        else:
            self._break_off(
                UpstreamBrokenError("The upstream ended its stream before the answer was finished.")
            )

    def _break_off(self, error: UpstreamError) -> None:
        self._call.attempts[-1].error = error.code
        self._call.outcome = "upstream_error"
        self._terminal = self._error_event(error)

    async def finish(self) -> None:
        """Release the end, then read the upstream's, so that its connection can be used again.

        A client that no longer reads is cut off, an upstream that does not end is left.
        """
        try:
            async with asyncio.timeout(_FINISH_S):
                await self._call.client.finish(self._terminal)
        except TimeoutError:
            self._call.client.abort()
            return
        if self._call.outcome != "served":
            return
        with suppress(TimeoutError, UpstreamError):
            async with asyncio.timeout(_FINISH_S):
                async for _ in self._chunks:
                    pass

    def _error_event(self, error: UpstreamError | RefusalError) -> bytes:
        return self._call.served.vendor.sse_error(error.status, error.code, str(error), self._call.request_id)

    def _take_stock(self) -> None:
        call = self._call
        call.answer = self._reader.answer()
        call.received_chars = self._reader.output_chars
        call.response_bytes += len(self._terminal)
        self._capture(self._terminal)
        call.response_body = b"".join(self._captured)
        call.response_sha256 = self._hash.hexdigest() if self._hash is not None else None

    def _capture(self, data: bytes) -> None:
        """Keep what an event may carry; of a longer answer, the hash of the whole goes on."""
        if self._hash is not None:
            self._hash.update(data)
        elif data:
            self._captured.append(data)
            self._captured_bytes += len(data)
            if self._captured_bytes > self._gateway.capture_limit:
                self._hash = hashlib.sha256(b"".join(self._captured))


def _is_event_stream(upstream: UpstreamStream) -> bool:
    """Whether the answer can be relayed event by event: a compressed one cannot."""
    headers = dict(upstream.headers)
    return (
        upstream.status < 300
        and headers.get("content-type", "").lower().startswith("text/event-stream")
        and headers.get("content-encoding", "identity") == "identity"
    )


@contextmanager
def _cancelled_by_hang_up(call: Call) -> Iterator[Callable[[], None]]:
    """Cancel what runs inside when the client hangs up, and say so with ``ClientGoneError``.

    Gives a function that ends this early: what comes after the record has to run to its end.
    """
    task = asyncio.current_task()
    assert task is not None
    cancelled = False

    def cancel() -> None:
        nonlocal cancelled
        cancelled = True
        task.cancel()

    call.client.on_client_gone(cancel)
    try:
        yield lambda: call.client.forget_client_gone(cancel)
    except asyncio.CancelledError:
        if cancelled and task.uncancel() == 0:
            raise ClientGoneError("the client hung up during its stream") from None
        raise
    finally:
        call.client.forget_client_gone(cancel)
