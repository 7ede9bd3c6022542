"""A streamed answer: chunks pass as they come, and only the last event waits for the record."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from weir_core.vendors import StreamMark, StreamReader
from weir_core.vendors.sse import SseSplitter
from weir_proxy.answer import finish_whole, merge_headers, own_headers
from weir_proxy.asgi import Send
from weir_proxy.call import Call
from weir_proxy.errors import ClientGoneError, UpstreamBrokenError, UpstreamError
from weir_proxy.exchange import begin_attempt, note_answer, note_end
from weir_proxy.gateway import Gateway
from weir_proxy.headers import client_headers, encode_headers
from weir_proxy.upstream import UpstreamAnswer, UpstreamStream
from weir_sdk import Headers, Response


async def answer_stream(gateway: Gateway, call: Call, send: Send) -> None:
    """Relay server-sent events from the upstream to the client.

    Everything but the terminal event is passed on at once. The terminal event (or the end of the body, where
    there is none) is released when the call is recorded. When the client hangs up, the upstream is cancelled
    and the call is settled by what was received.
    """
    request = begin_attempt(call)
    began = time.perf_counter()
    try:
        with _cancelled_by_hang_up(call):
            async with (
                asyncio.timeout(call.served.llm.timeout_seconds),
                gateway.upstream.stream(request) as upstream,
            ):
                note_answer(call, upstream.status, upstream.headers)
                if _is_event_stream(upstream):
                    await _Relay(gateway, call, send).run(upstream, began)
                    return
                body = b"".join([chunk async for chunk in upstream.read()])
        await finish_whole(gateway, call, UpstreamAnswer(upstream.status, upstream.headers, body))
    except TimeoutError as error:
        raise UpstreamBrokenError("The stream took longer than the LLM's timeout_seconds.") from error
    finally:
        note_end(call, began)


class _Relay:
    """The passage of one stream."""

    def __init__(self, gateway: Gateway, call: Call, send: Send) -> None:
        assert call.operation is not None
        self._gateway = gateway
        self._call = call
        self._send = send
        self._splitter = SseSplitter()
        self._reader: StreamReader = call.operation.stream_reader()
        self._captured: list[bytes] = []
        self._captured_bytes = 0
        self._terminal = b""

    async def run(self, upstream: UpstreamStream, began: float) -> None:
        """Headers, chunks, record, terminal event; in that order whatever happens in between."""
        call = self._call
        await self._start(upstream)
        try:
            await self._pass_chunks(upstream.read(), began)
        except UpstreamError as error:
            call.attempts[-1].error = error.code
            call.outcome = "upstream_error"
            self._terminal = self._error_event(error)
        except asyncio.CancelledError:
            call.outcome = "client_aborted" if call.client_gone else "gateway_error"
            raise
        else:
            self._judge_end()
        finally:
            self._take_stock()
        await self._gateway.recorder.record(call)
        await self._send({"type": "http.response.body", "body": self._terminal, "more_body": False})

    async def _start(self, upstream: UpstreamStream) -> None:
        call = self._call
        call.status = upstream.status
        headers = client_headers(upstream.headers)
        if call.served.response:
            shown = Headers.from_pairs(headers)
            before = Response(status_code=upstream.status, headers=shown, request_id=call.request_id)
            after = await self._gateway.hooks.response_headers(call, before)
            headers = merge_headers(headers, shown, after.headers)
        complete = encode_headers([*headers, *own_headers(call)])
        await self._send({"type": "http.response.start", "status": upstream.status, "headers": complete})

    async def _pass_chunks(self, chunks: AsyncIterator[bytes], began: float) -> None:
        call = self._call
        async for chunk in chunks:
            if call.first_byte_ms is None:
                call.first_byte_ms = round((time.perf_counter() - began) * 1000, 3)
            passed = self._judge(chunk)
            if passed:
                call.response_bytes += len(passed)
                self._capture(passed)
                await self._send({"type": "http.response.body", "body": passed, "more_body": True})

    def _judge(self, chunk: bytes) -> bytes:
        """What of this chunk may pass now; the terminal event and all behind it are held back."""
        passed: list[bytes] = []
        for event in self._splitter.feed(chunk):
            mark = self._reader.feed(event)
            if self._terminal or mark is StreamMark.TERMINAL:
                self._terminal += event.raw
                self._call.chunk_count += 1
            elif mark is not StreamMark.USAGE_ONLY or not self._call.hides_usage_chunk:
                passed.append(event.raw)
                self._call.chunk_count += 1
        return b"".join(passed)

    def _judge_end(self) -> None:
        """A clean end is a served call when the vendor said that the answer was finished."""
        call = self._call
        self._terminal += self._splitter.rest()
        finished = bool(self._terminal) or bool(self._reader.answer().finish_reasons)
        call.outcome = "served" if finished and not self._reader.failed else "upstream_error"
        if not finished:
            call.attempts[-1].error = "upstream_truncated"
            self._terminal = self._error_event(
                UpstreamBrokenError("The upstream ended its stream before the answer was finished.")
            )

    def _error_event(self, error: UpstreamError) -> bytes:
        return self._call.served.vendor.sse_error(error.status, error.code, str(error), self._call.request_id)

    def _take_stock(self) -> None:
        call = self._call
        call.answer = self._reader.answer()
        call.received_chars = self._reader.output_chars
        call.response_bytes += len(self._terminal)
        self._capture(self._terminal)
        call.response_body = b"".join(self._captured)

    def _capture(self, data: bytes) -> None:
        # One byte over the limit is enough to know that the body has to be marked as cut.
        if data and self._captured_bytes <= self._gateway.capture_limit:
            self._captured.append(data)
            self._captured_bytes += len(data)


def _is_event_stream(upstream: UpstreamStream) -> bool:
    return upstream.status < 400 and any(
        name == "content-type" and value.lower().startswith("text/event-stream")
        for name, value in upstream.headers
    )


@contextmanager
def _cancelled_by_hang_up(call: Call) -> Iterator[None]:
    """Cancel what runs inside when the client hangs up, and say so with ``ClientGoneError``."""
    task = asyncio.current_task()
    assert task is not None
    cancelled = False

    def cancel() -> None:
        nonlocal cancelled
        cancelled = True
        task.cancel()

    if call.client_gone:
        raise ClientGoneError("the client hung up before its stream began")
    call.client.on_client_gone(cancel)
    try:
        yield
    except asyncio.CancelledError:
        if cancelled and task.uncancel() == 0:
            raise ClientGoneError("the client hung up during its stream") from None
        raise
    finally:
        call.client.on_client_gone(None)
