"""One HTTP/1.1 connection to an upstream: an exchange at a time, for as long as both sides keep it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, cast

import httptools

from weir_proxy.errors import UpstreamBrokenError, UpstreamError
from weir_proxy.upstream.exchange import Exchange

_MOST_HEADER_BYTES: Final = 256 * 1024
_JOINED_UP_TO: Final = 64 * 1024


class UpstreamConnection(asyncio.Protocol):
    """Parses answers for the exchange that it was given.

    Args:
        loop: The running loop.
        on_free: Called when an exchange has ended and the connection can take another one.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, on_free: Callable[[UpstreamConnection], None]
    ) -> None:
        self.idle_since = 0.0
        self._loop = loop
        self._on_free = on_free
        self._transport: asyncio.Transport
        self._parser = httptools.HttpResponseParser(self)
        self._exchange: Exchange | None = None
        self._headers: list[tuple[str, str]] = []
        self._header_bytes = 0
        self._status = 0
        self._until_eof = False
        self._message_complete = False
        self._keep_alive = False

    @property
    def usable(self) -> bool:
        """Whether another exchange can begin."""
        return self._exchange is None and not self._transport.is_closing()

    def begin(self, exchange: Exchange, head: bytes, body: bytes) -> None:
        """Send a request; the exchange hears of its answer."""
        self._exchange = exchange
        self._headers, self._header_bytes, self._status = [], 0, 0
        self._until_eof = self._message_complete = False
        if len(body) > _JOINED_UP_TO:
            self._transport.writelines((head, body))
        else:
            self._transport.write(head + body)

    def abandon(self, exchange: Exchange) -> None:
        """Nobody waits for the exchange any more: cut the connection if it is still about it."""
        if self._exchange is exchange:
            self._exchange = None
            self._transport.abort()

    def fail(self, error: UpstreamError) -> None:
        """Give up: the exchange, if any, learns why, and the connection is cut."""
        exchange, self._exchange = self._exchange, None
        self._transport.abort()
        if exchange is not None:
            exchange.fail(error)

    def close(self) -> None:
        """Close an idle connection."""
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the methods of asyncio's, not their class.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None:
            # An answer that nobody asked for must never become the next caller's.
            self._transport.abort()
            return
        exchange.heard_at = self._loop.time()
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.fail(UpstreamBrokenError("The upstream did not answer in HTTP/1.1."))
            return
        if not self._status and self._header_bytes > _MOST_HEADER_BYTES:
            self.fail(UpstreamBrokenError("The upstream's headers are too large."))
        elif exchange.ended and not self._message_complete:
            self._exchange = None
            self._transport.abort()
        elif self._message_complete and self._exchange is exchange:
            self._finish(exchange)

    def eof_received(self) -> bool:
        if self._exchange is not None and self._until_eof and self._status:
            self._message_complete, self._keep_alive = True, False
            self._finish(self._exchange)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.fail(UpstreamBrokenError("The upstream broke off before its answer was whole."))

    # What httptools calls.

    def on_message_begin(self) -> None:
        if self._message_complete:
            # Bytes behind the end of the answer: this connection is out of step.
            self._keep_alive = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._status:
            # A trailer, or the head of an answer that nobody asked for.
            return
        self._header_bytes += len(name) + len(value)
        if self._header_bytes <= _MOST_HEADER_BYTES:
            self._headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if self._message_complete:
            return
        if 100 <= status < 200:
            self._headers = []
            return
        exchange = self._exchange
        assert exchange is not None
        self._status = status
        self._keep_alive = self._parser.should_keep_alive()
        self._until_eof = not any(
            name in ("content-length", "transfer-encoding") for name, _ in self._headers
        )
        exchange.began(status, self._headers)
        if exchange.bodiless:
            # The parser cannot be told that no body follows, so the connection ends here.
            self._message_complete, self._keep_alive = True, False

    def on_body(self, body: bytes) -> None:
        if self._exchange is not None and not self._message_complete:
            self._exchange.feed(body, self._hold_back)

    def on_message_complete(self) -> None:
        if self._status:
            self._message_complete = True

    def _hold_back(self) -> Callable[[], None]:
        self._transport.pause_reading()
        return self._go_on

    def _go_on(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def _finish(self, exchange: Exchange) -> None:
        self._exchange = None
        transport = self._transport
        if exchange.held_back:
            transport.resume_reading()
        # An answer that came before the whole request had gone out leaves the rest of it on the way.
        if self._keep_alive and not transport.is_closing() and not transport.get_write_buffer_size():
            self.idle_since = exchange.heard_at
            self._on_free(self)
        else:
            transport.close()
        exchange.complete()
