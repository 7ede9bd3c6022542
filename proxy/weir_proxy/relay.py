"""The passage of one stream: events pass as they come, and only its end waits for the record."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Final

from weir_core.errors import SseEventTooLargeError
from weir_core.vendors import StreamMark, StreamReader
from weir_core.vendors.sse import SseEvent, SseSplitter
from weir_proxy.answer import merge_headers, own_headers
from weir_proxy.call import Call
from weir_proxy.capture import LOOK_AHEAD
from weir_proxy.errors import RefusalError, UpstreamBrokenError, UpstreamError, UpstreamTimeoutError
from weir_proxy.exchange import note_end
from weir_proxy.gateway import Gateway
from weir_proxy.headers import client_headers
from weir_proxy.released import Released
from weir_proxy.stream_end import MOST_TOLD_BYTES
from weir_proxy.stream_hooks import StreamHooks
from weir_proxy.upstream import UpstreamStream
from weir_sdk import Headers, Response, StreamComplete

_FINISH_S: Final = 10.0
_EVENT_END: Final = b"\n\n"


class Relay:
    """Takes one stream from the upstream, through the response plugins, to the client."""

    def __init__(self, gateway: Gateway, call: Call) -> None:
        assert call.operation is not None
        self._gateway = gateway
        self._call = call
        self._splitter = SseSplitter()
        self._reader: StreamReader = call.operation.stream_reader()
        # Reads what plugins made: an end of their own making has to wait for the record, too.
        self._made_reader: StreamReader = call.operation.stream_reader()
        self._hooks: StreamHooks | None = None
        self._headers = Headers()
        self._chunks: AsyncIterator[bytes]
        self._ready: list[bytes] = []
        self._last: list[bytes] = []
        self._started = False
        self._finished = False
        self._finished_by_plugin = False
        self._holding = False
        self._is_told = bool(call.served.response) and gateway.stream_ends.wanted(call)
        self._captured = 0 if call.body_capture == "none" else gateway.capture_limit + LOOK_AHEAD
        self._released = Released(max(self._captured, MOST_TOLD_BYTES) if self._is_told else self._captured)

    async def run(self, upstream: UpstreamStream, began: float) -> None:
        """Headers, events, record; in that order whatever happens in between.

        Raises:
            RefusalError: A closed plugin failed before anything went out.
            SpoolWriteError: The call is not recorded, so the answer must not be completed.
        """
        call = self._call
        await self._start(upstream)
        self._chunks = upstream.read()
        try:
            await self._pass_all(began)
        except asyncio.CancelledError:
            call.outcome = "client_aborted" if call.client_gone else "gateway_error"
            call.chunk_count -= len(self._ready) + len(self._last)
            self._ready.clear()
            self._last.clear()
            raise
        finally:
            note_end(call, began)
            self._take_stock()
        await self._gateway.recorder.record(call)

    async def finish(self) -> None:
        """Release the end, then read the upstream's, so that its connection can be used again.

        A client that no longer reads is cut off, an upstream that does not end is left.
        """
        try:
            async with asyncio.timeout(_FINISH_S):
                await self._call.client.finish(b"".join(self._last))
        except TimeoutError:
            self._call.client.abort()
            return
        if self._call.outcome != "served":
            return
        with suppress(TimeoutError, UpstreamError):
            async with asyncio.timeout(_FINISH_S):
                async for _ in self._chunks:
                    pass

    def tell(self) -> None:
        """Tell the plugins that want to know what went out; they take their own time."""
        if not self._is_told or not self._started:
            return
        call = self._call
        body, _ = self._released.beginning(MOST_TOLD_BYTES)
        stream = StreamComplete(
            body=body[:MOST_TOLD_BYTES],
            headers=self._headers,
            status_code=call.status,
            chunk_count=call.chunk_count,
            request_body=call.upstream_body,
        )
        self._gateway.stream_ends.tell(call, stream, cut=self._released.size > MOST_TOLD_BYTES)

    async def _start(self, upstream: UpstreamStream) -> None:
        call = self._call
        call.status = upstream.status
        headers = client_headers(upstream.headers)
        if call.served.response:
            shown = Headers.from_pairs(headers)
            before = Response(status_code=upstream.status, headers=shown, request_id=call.request_id)
            after = await self._gateway.hooks.response_headers(call, before)
            headers = merge_headers(headers, shown, after.headers)
        complete = [*headers, *own_headers(call)]
        if call.served.response:
            self._headers = Headers.from_pairs(complete)
            self._hooks = StreamHooks(self._gateway.hooks, call, self._headers) or None
        await call.client.start(upstream.status, complete)
        self._started = True

    async def _pass_all(self, began: float) -> None:
        try:
            async with asyncio.timeout(self._call.served.llm.timeout_seconds):
                await self._pass_events(began)
            await self._end()
        except TimeoutError:
            error = UpstreamTimeoutError("The stream took longer than the LLM's timeout_seconds.")
            await self._break_off(error)
        except UpstreamError as broken:
            await self._break_off(broken)
        except RefusalError as refusal:
            self._refuse(refusal)

    async def _pass_events(self, began: float) -> None:
        call, ready = self._call, self._ready
        async for chunk in self._chunks:
            if call.first_byte_ms is None:
                call.first_byte_ms = round((time.perf_counter() - began) * 1000, 3)
            for event in self._cut(chunk):
                await self._take(event)
            if ready:
                passed = ready[0] if len(ready) == 1 else b"".join(ready)
                ready.clear()
                self._account(passed)
                await call.client.write(passed)
            if self._finished:
                return

    def _cut(self, chunk: bytes) -> Sequence[SseEvent]:
        try:
            return self._splitter.feed(chunk)
        except SseEventTooLargeError as error:
            raise UpstreamBrokenError(str(error)) from error

    async def _take(self, event: SseEvent) -> None:
        """Read an event of the upstream's and release what the plugins make of it."""
        mark = self._reader.feed(event)
        if mark is StreamMark.TERMINAL:
            self._finished = self._holding = True
        elif mark is StreamMark.USAGE_ONLY and self._call.hides_usage_chunk:
            return
        await self._pass_on(event)

    async def _pass_on(self, event: SseEvent) -> None:
        if self._hooks is None:
            self._release(event)
        elif not self._finished_by_plugin:
            for made in await self._hooks.take(event):
                self._release_made(made, event)

    def _release_made(self, made: SseEvent, given: SseEvent) -> None:
        """Release an event that went through plugins; nothing comes after an end of their own making.

        The upstream is read on all the same: it tells what the call consumed.
        """
        if self._finished_by_plugin:
            return
        if made is not given and not self._holding and self._made_reader.feed(made) is StreamMark.TERMINAL:
            self._finished_by_plugin = self._holding = True
        self._release(made)

    def _release(self, event: SseEvent) -> None:
        """What ends the answer, and all behind it, is held back for the record; the rest goes out next."""
        self._call.chunk_count += 1
        (self._last if self._holding else self._ready).append(event.raw)

    async def _end(self) -> None:
        """Let the plugins release what they hold, when the vendor has said that the answer is finished.

        Raises:
            UpstreamBrokenError: It has not.
        """
        self._holding = True
        await self._take_rest()
        if not self._finished and not self._reader.answer().finish_reasons:
            raise UpstreamBrokenError("The upstream ended its stream before the answer was finished.")
        await self._release_held()
        self._call.outcome = "upstream_error" if self._reader.failed else "served"

    async def _take_rest(self) -> None:
        """An event without the empty line that ends it is none, but for one that ends the answer."""
        rest = self._splitter.rest()
        if rest and not self._finished:
            for event in self._cut(_EVENT_END):
                if self._reader.feed(event) is StreamMark.TERMINAL:
                    self._finished = True
                    await self._pass_on(event)
                    return
        if self._hooks is None and (self._finished or self._reader.answer().finish_reasons):
            self._last.append(rest)

    async def _release_held(self) -> None:
        self._holding = True
        if self._hooks is not None and not self._finished_by_plugin:
            for event in await self._hooks.end():
                self._release(event)

    async def _break_off(self, error: UpstreamError) -> None:
        """End with one error event, behind all that came before it, be it held by plugins.

        An answer that a plugin has ended already is whole to the client; it only waits for its record.
        """
        self._call.attempts[-1].error = error.code
        self._call.outcome = "upstream_error"
        try:
            await self._release_held()
        except RefusalError as refusal:
            self._refuse(refusal)
            return
        if not self._finished_by_plugin:
            self._append_error(error)

    def _refuse(self, refusal: RefusalError) -> None:
        """End with one error event; what was held back until the end is not released."""
        self._call.outcome, self._call.blocked_by = refusal.outcome, refusal.blocked_by
        self._call.chunk_count -= len(self._last)
        self._last.clear()
        self._append_error(refusal)

    def _append_error(self, error: UpstreamError | RefusalError) -> None:
        call = self._call
        self._last.append(call.served.vendor.sse_error(error.status, error.code, str(error), call.request_id))

    def _take_stock(self) -> None:
        """Everything about the answer is known: what could not go out yet goes out with its end."""
        call = self._call
        call.answer = self._reader.answer()
        call.received_chars = self._reader.output_chars
        self._last = [*self._ready, *self._last]
        for piece in self._last:
            self._account(piece)
        if self._captured:
            call.response_body, call.response_sha256 = self._released.beginning(self._captured)

    def _account(self, passed: bytes) -> None:
        self._call.response_bytes += len(passed)
        if self._captured or self._is_told:
            self._released.add(passed)
