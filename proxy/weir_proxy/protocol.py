"""uvicorn's HTTP protocol with the deadlines and limits it lacks, and news of a client's hang-up.

The app finds each request's ``ClientRequest`` in its scope. Timers are armed only while bytes are
missing at the end of a read, so a request that arrives in one piece never pays for one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from weir_proxy.client import ClientRequest
from weir_proxy.headers import RequestHeaders

_MAX_HEADER_BYTES = 64 * 1024
_MIN_BODY_BYTES_PER_SECOND = 16 * 1024
_REASONS = {400: b"Bad Request", 408: b"Request Timeout", 431: b"Request Header Fields Too Large"}
_BODY_HEADERS = frozenset((b"content-length", b"transfer-encoding"))


class GatewayProtocol(HttpToolsProtocol):
    """One client connection.

    ``make_protocol`` sets ``header_timeout_s`` (seconds for a whole header block) and ``body_timeout_s``
    (seconds of grace for a body, on top of a floor of 16 KiB a second) on a subclass.
    """

    header_timeout_s = 10.0
    body_timeout_s = 30.0

    checked: object = None
    client_gone = False
    call_when_gone: Callable[[], None] | None = None
    overdue: RequestResponseCycle | None = None
    """The request whose body came too slowly."""
    _raw_headers: list[tuple[bytes, bytes]] | None = None
    _parsed_headers: RequestHeaders | None = None
    # What the timer is about: a message by its scope, its headers or its body; since when, how many bytes.
    _timer: asyncio.TimerHandle | None = None
    _watched: tuple[object, bool] = (None, True)
    _since = 0.0
    _bytes = 0

    def parsed_headers(self, raw: list[tuple[bytes, bytes]]) -> RequestHeaders:
        """A client repeats its headers on a connection; then what was worked out about them is still true."""
        if self._parsed_headers is None or self._raw_headers != raw:
            self._raw_headers, self._parsed_headers = raw, RequestHeaders(raw)
        return self._parsed_headers

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._arm(self.header_timeout_s, self._headers_overdue)

    def connection_lost(self, exc: Exception | None) -> None:
        self.client_gone = True
        self._disarm()
        super().connection_lost(exc)
        if self.call_when_gone is not None:
            callback, self.call_when_gone = self.call_when_gone, None
            callback()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        cycle = self.cycle
        if cycle is not None and cycle.scope is self.scope and not cycle.more_body:
            if self._timer is not None:
                self._disarm()
        elif not self.transport.is_closing():
            self._watch(len(data))

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade() and any(name in _BODY_HEADERS for name, _ in self.headers):
            # The parser takes what follows an upgrade for another protocol: a body would be a request.
            self._refuse(400, "A request with a body cannot ask for an upgrade. Send it without Upgrade.")
            return
        super().on_headers_complete()
        self.scope["weir.request"] = ClientRequest(self, self.cycle)  # type: ignore[typeddict-unknown-key]

    def _watch(self, received: int) -> None:
        """Something of the current message is missing: see that it comes in time, and not for ever."""
        in_headers = self.cycle is None or self.cycle.scope is not self.scope
        watched, was_in_headers = self._watched
        if watched is not self.scope or was_in_headers != in_headers:
            self._disarm()
            self._watched, self._since, self._bytes = (self.scope, in_headers), self.loop.time(), 0
        self._bytes += received
        if in_headers and self._bytes > _MAX_HEADER_BYTES:
            self._refuse(431, f"The request's headers are larger than {_MAX_HEADER_BYTES} bytes.")
        elif self._timer is None and in_headers:
            self._arm(self.header_timeout_s, self._headers_overdue)
        elif self._timer is None:
            self._arm(self.body_timeout_s, self._check_body)

    def _headers_overdue(self) -> None:
        self._refuse(408, f"The request's headers did not arrive within {self.header_timeout_s:g} seconds.")

    def _check_body(self) -> None:
        self._timer = None
        allowed = self.body_timeout_s + self._bytes / _MIN_BODY_BYTES_PER_SECOND
        left = self._since + allowed - self.loop.time()
        if left > 0:
            self._arm(left, self._check_body)
        elif self.cycle is None or self.cycle.response_complete:
            self.transport.close()
        else:
            self.overdue = self.cycle
            self.cycle.message_event.set()

    def _refuse(self, status: int, message: str) -> None:
        if self.transport.is_closing():
            return
        body = message.encode()
        reason = _REASONS[status]
        self.transport.write(
            b"HTTP/1.1 %d %s\r\ncontent-type: text/plain; charset=utf-8\r\nconnection: close\r\n"
            b"content-length: %d\r\n\r\n%s" % (status, reason, len(body), body)
        )
        self.transport.close()

    def _arm(self, seconds: float, callback: Callable[[], None]) -> None:
        self._timer = self.loop.call_later(seconds, callback)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def make_protocol(header_timeout_s: float, body_timeout_s: float) -> type[GatewayProtocol]:
    """A protocol class with these deadlines, for ``uvicorn.Config(http=...)``."""
    namespace: dict[str, Any] = {"header_timeout_s": header_timeout_s, "body_timeout_s": body_timeout_s}
    return type("ConfiguredGatewayProtocol", (GatewayProtocol,), namespace)
