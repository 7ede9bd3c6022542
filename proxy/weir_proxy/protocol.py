"""One client connection: HTTP/1.1 with deadlines and limits, one request at a time, news of a hang-up.

Timers are armed only while bytes are missing at the end of a read, so a request that arrives in one piece
never pays for one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, cast

import httptools
import structlog

from weir_proxy.client import ClientRequest
from weir_proxy.headers import RequestHeaders
from weir_proxy.plain import problem

_log = structlog.get_logger("weir.proxy")

_MAX_HEADER_BYTES: Final = 64 * 1024
_MIN_BODY_BYTES_PER_SECOND: Final = 16 * 1024
_MOST_UNREAD_BYTES: Final = 256 * 1024
_MOST_WAITING: Final = 16

Serve = Callable[[ClientRequest], Coroutine[Any, Any, None]]
"""Answers one request. It runs on when the client hangs up."""


@dataclass(frozen=True, slots=True)
class ClientDeadlines:
    """Seconds.

    Attributes:
        headers_s: For a whole header block.
        body_s: Of grace for a body, on top of a floor of 16 KiB a second.
        idle_s: That a connection stays open without a request.
    """

    headers_s: float = 10.0
    body_s: float = 30.0
    idle_s: float = 75.0


class GatewayProtocol(asyncio.Protocol):
    """Parses requests, hands them to ``serve`` one after the other, and watches the clock.

    Args:
        serve: What answers.
        deadlines: When a client is too slow.
        connections: The protocol is in it from its connection until that and its last request are over.
    """

    def __init__(self, serve: Serve, deadlines: ClientDeadlines, connections: set[GatewayProtocol]) -> None:
        self.checked: object = None
        self.client_gone = False
        self.call_when_gone: Callable[[], None] | None = None
        self.paused_writing: asyncio.Future[None] | None = None
        self.remote_addr = ""
        self.idle_since: float | None = None
        self.task: asyncio.Task[None] | None = None
        self._serve = serve
        self._deadlines = deadlines
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._parser = httptools.HttpRequestParser(self)
        self._stopping = False
        self._reading_paused = False
        self._deaf = False
        # The message that is coming in; the one that is being answered; those behind it.
        self._incoming: ClientRequest | None = None
        self._current: ClientRequest | None = None
        self._waiting: deque[ClientRequest] = deque()
        self._message_complete = True
        self._url = b""
        self._raw_headers: list[tuple[bytes, bytes]] = []
        self._content_length: int | None = None
        self._expects_continue = False
        self._known_headers: tuple[list[tuple[bytes, bytes]], RequestHeaders] | None = None
        # What the timer is about: the headers or the body of a message; since when, how many bytes.
        self._timer: asyncio.TimerHandle | None = None
        self._watched: ClientRequest | None = None
        self._since = 0.0
        self._bytes = 0

    def parsed_headers(self, raw: list[tuple[bytes, bytes]]) -> RequestHeaders:
        """A client repeats its headers on a connection; then what was worked out about them is still true."""
        known = self._known_headers
        if known is None or known[0] != raw:
            known = self._known_headers = (raw, RequestHeaders(raw))
        return known[1]

    def stop(self) -> None:
        """Take no more requests: close now, or when the one that is being answered is."""
        self._stopping = True
        if self._current is None:
            self._transport.close()
        else:
            self._current.keep_alive = False

    def write(self, data: bytes) -> None:
        """Send bytes; nothing happens when the client has hung up."""
        if not self.client_gone:
            self._transport.write(data)

    def abort(self) -> None:
        """Cut the connection."""
        self._transport.abort()

    async def writable(self) -> None:
        """Wait until the client has read enough, or has hung up."""
        while self.paused_writing is not None:
            await asyncio.shield(self.paused_writing)

    def take_more(self) -> None:
        """There is room for more of what comes in."""
        if self._reading_paused and not self._waiting:
            self._reading_paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()

    def answer_is_complete(self, request: ClientRequest) -> None:
        """The answer has been written; the next request does not wait for what its task still does."""
        if not request.keep_alive:
            self._transport.close()
        if request is self._current:
            self._go_on()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the methods of asyncio's, not their class.
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self.remote_addr = f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else ""
        self._connections.add(self)
        self._arm(self._deadlines.headers_s, self._headers_overdue)

    def connection_lost(self, exc: Exception | None) -> None:
        self.client_gone = True
        self._disarm()
        self._waiting.clear()
        self.resume_writing()
        if self._current is not None:
            self._current.client_is_gone()
        else:
            self._connections.discard(self)
        if self.call_when_gone is not None:
            callback, self.call_when_gone = self.call_when_gone, None
            callback()

    def pause_writing(self) -> None:
        self.paused_writing = self._loop.create_future()

    def resume_writing(self) -> None:
        paused, self.paused_writing = self.paused_writing, None
        if paused is not None and not paused.done():
            paused.set_result(None)

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._refuse(400, "The request is not HTTP/1.1. Send a well-formed one.")
        except httptools.HttpParserUpgrade:
            # What follows would be another protocol, which is not spoken here.
            self._deaf = True
        if self._message_complete and self._incoming is not None:
            if self._timer is not None:
                self._disarm()
        elif not self._deaf:
            self._watch(len(data))

    # What httptools calls.

    def on_message_begin(self) -> None:
        self._message_complete = False
        self._incoming = None
        self._url = b""
        self._raw_headers = []
        self._content_length = None
        self._expects_continue = False

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._incoming is not None:
            # A trailer, which came past whatever looked at the headers (RFC 9110, section 6.5.1).
            return
        name = name.lower()
        if name == b"content-length":
            self._content_length = int(value)
            return
        if name == b"expect" and value.lower() == b"100-continue":
            self._expects_continue = True
        self._raw_headers.append((name, value))

    def on_headers_complete(self) -> None:
        if self._deaf:
            return
        parser = self._parser
        upgrade = parser.should_upgrade()
        if upgrade and self._announces_body():
            # The parser takes what follows an upgrade for another protocol: a body would be a request.
            self._refuse(400, "A request with a body cannot ask for an upgrade. Send it without Upgrade.")
            return
        target = _split_target(self._url)
        if target is None:
            self._refuse(400, "The request's target is not a plain ASCII path.")
            return
        request = ClientRequest(
            self,
            method=parser.get_method().decode("ascii"),
            raw_path=target[0],
            query=target[1],
            raw_headers=self._raw_headers,
            content_length=self._content_length,
            keep_alive=parser.should_keep_alive() and not upgrade and not self._stopping,
            chunked=parser.get_http_version() == "1.1",
            expects_continue=self._expects_continue,
        )
        self._incoming = request
        if self._current is None:
            self._begin(request)
        else:
            self._waiting.append(request)
            # Not with the first: a connection that is not read does not tell of a hang-up.
            if len(self._waiting) >= _MOST_WAITING:
                self._pause_reading()

    def on_body(self, body: bytes) -> None:
        request = self._incoming
        if request is not None and request.feed(body) > _MOST_UNREAD_BYTES:
            self._pause_reading()

    def on_message_complete(self) -> None:
        self._message_complete = True
        if self._incoming is not None:
            self._incoming.body_is_complete()

    # One request after the other.

    def _begin(self, request: ClientRequest) -> None:
        self._current, self.idle_since = request, None
        self.task = self._loop.create_task(self._answer(request))

    async def _answer(self, request: ClientRequest) -> None:
        try:
            await self._serve(request)
        except Exception:  # noqa: BLE001 - a defect of ours must not keep the connection open
            _log.exception("a request failed inside the gateway", path=request.raw_path)
        finally:
            if not request.answered and not self.client_gone:
                self.abort()
            if request is self._current:
                self._go_on()

    def _go_on(self) -> None:
        self.task = self._current = None
        if self.client_gone:
            self._connections.discard(self)
        elif self._transport.is_closing():
            return
        elif self._waiting:
            self._begin(self._waiting.popleft())
            self.take_more()
        elif self._stopping:
            self._transport.close()
        else:
            self.idle_since = self._loop.time()
            self.take_more()

    def _announces_body(self) -> bool:
        return self._content_length is not None or any(
            name == b"transfer-encoding" for name, _ in self._raw_headers
        )

    def _pause_reading(self) -> None:
        if not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()

    # Deadlines.

    def _watch(self, received: int) -> None:
        """Something of the current message is missing: see that it comes in time, and not for ever."""
        incoming = self._incoming
        if self._timer is None or self._watched is not incoming:
            self._disarm()
            self._watched, self._since, self._bytes = incoming, self._loop.time(), 0
            if incoming is None:
                self._arm(self._deadlines.headers_s, self._headers_overdue)
            else:
                self._arm(self._deadlines.body_s, self._check_body)
        self._bytes += received
        if incoming is None and self._bytes > _MAX_HEADER_BYTES:
            self._refuse(431, f"The request's headers are larger than {_MAX_HEADER_BYTES} bytes.")

    def _headers_overdue(self) -> None:
        seconds = self._deadlines.headers_s
        self._refuse(408, f"The request's headers did not arrive within {seconds:g} seconds.")

    def _check_body(self) -> None:
        self._timer = None
        request = self._watched
        assert request is not None
        allowed = self._deadlines.body_s + self._bytes / _MIN_BODY_BYTES_PER_SECOND
        left = self._since + allowed - self._loop.time()
        if left > 0:
            self._arm(left, self._check_body)
        elif request.answered:
            self._transport.close()
        else:
            request.keep_alive = False
            request.body_is_overdue()

    def _refuse(self, status: int, message: str) -> None:
        """Answer what is no request that could be served, and close."""
        self._deaf = True
        self._disarm()
        if self._current is not None:
            # An answer is under way: another head in its middle would be taken for a part of it.
            self._current.keep_alive = False
            if self._incoming is not None:
                self._incoming.body_is_broken()
        elif not self._transport.is_closing():
            self._transport.write(problem(status, message).as_last_response())
            self._transport.close()

    def _arm(self, seconds: float, callback: Callable[[], None]) -> None:
        self._timer = self._loop.call_later(seconds, callback)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _split_target(url: bytes) -> tuple[str, str] | None:
    """Path and query of a request target; None for one that names no path of ours (RFC 9112, section 3.2)."""
    if not url.isascii():
        return None
    if not url.startswith(b"/"):
        try:
            parsed = httptools.parse_url(url)
        except httptools.HttpParserInvalidURLError:
            return None
        return (parsed.path or b"/").decode(), (parsed.query or b"").decode()
    path, _, query = url.decode().partition("#")[0].partition("?")
    return path, query
