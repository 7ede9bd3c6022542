"""uvicorn's HTTP protocol with the deadlines and limits it lacks, and news of a client's hang-up.

The app finds each request's ``ClientRequest`` in its scope. Timers are armed only while bytes are
missing at the end of a read, so a request that arrives in one piece never pays for one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from weir_proxy.client import ClientRequest
from weir_proxy.headers import RequestHeaders

_MAX_HEADER_BYTES = 64 * 1024
_MIN_BODY_BYTES_PER_SECOND = 16 * 1024


class GatewayProtocol(HttpToolsProtocol):
    """One client connection.

    ``make_protocol`` sets ``header_timeout_s`` (seconds for a whole header block) and ``body_timeout_s``
    (seconds of grace for a body, on top of a floor of 16 KiB a second) on a subclass.
    """

    header_timeout_s = 10.0
    body_timeout_s = 30.0

    checked: object = None
    client_gone = False
    body_overdue = False
    call_when_gone: Callable[[], None] | None = None
    _raw_headers: list[tuple[bytes, bytes]] | None = None
    _parsed_headers: RequestHeaders | None = None
    _timer: asyncio.TimerHandle | None = None
    _awaiting = "headers"
    _header_bytes = 0
    _body_bytes = 0
    _body_started = 0.0

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
        before = self._awaiting
        super().data_received(data)
        if self._awaiting == "headers":
            self._count_header_bytes(len(data))
        elif self._awaiting == "body":
            self._count_body_bytes(len(data))
        if self._awaiting != before or self._awaiting == "nothing":
            self._disarm()
        if self._timer is None and self._awaiting != "nothing" and not self.transport.is_closing():
            self._await_more()

    def on_message_begin(self) -> None:
        self._awaiting = "headers"
        self._header_bytes = 0
        self.body_overdue = False
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._awaiting = "body"
        self._body_bytes = 0
        self._body_started = self.loop.time()
        self.scope["weir.request"] = ClientRequest(self, self.cycle)  # type: ignore[typeddict-unknown-key]

    def on_message_complete(self) -> None:
        self._awaiting = "nothing"
        super().on_message_complete()

    def _count_header_bytes(self, count: int) -> None:
        self._header_bytes += count
        if self._header_bytes > _MAX_HEADER_BYTES:
            self._refuse(431, f"The request's headers are larger than {_MAX_HEADER_BYTES} bytes.")

    def _count_body_bytes(self, count: int) -> None:
        self._body_bytes += count

    def _await_more(self) -> None:
        if self._awaiting == "headers":
            self._arm(self.header_timeout_s, self._headers_overdue)
        else:
            self._arm(self.body_timeout_s, self._check_body)

    def _headers_overdue(self) -> None:
        self._refuse(408, f"The request's headers did not arrive within {self.header_timeout_s:g} seconds.")

    def _check_body(self) -> None:
        self._timer = None
        allowed = self.body_timeout_s + self._body_bytes / _MIN_BODY_BYTES_PER_SECOND
        left = self._body_started + allowed - self.loop.time()
        if left > 0:
            self._arm(left, self._check_body)
        elif self.cycle is None or self.cycle.response_complete:
            self.transport.close()
        else:
            self.body_overdue = True
            self.cycle.message_event.set()

    def _refuse(self, status: int, message: str) -> None:
        if self.transport.is_closing():
            return
        body = message.encode()
        reason = {408: b"Request Timeout", 431: b"Request Header Fields Too Large"}[status]
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
