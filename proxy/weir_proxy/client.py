"""One request on its connection, as the pipeline sees it: what it can know of its client, and its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from weir_proxy.headers import RequestHeaders

if TYPE_CHECKING:
    from weir_proxy.protocol import GatewayProtocol

_CONTENT_LENGTH = b"content-length"
_UNREAD_S = 30.0


class ClientRequest:
    """Found by the app in ``scope["weir.request"]``."""

    __slots__ = ("_cycle", "_protocol")

    def __init__(self, protocol: GatewayProtocol, cycle: RequestResponseCycle) -> None:
        self._protocol = protocol
        self._cycle = cycle

    def headers(self) -> RequestHeaders:
        """All headers but Content-Length."""
        return self._protocol.parsed_headers(
            [item for item in self._cycle.scope["headers"] if item[0] != _CONTENT_LENGTH]
        )

    @property
    def content_length(self) -> int | None:
        """Bytes that the body was announced with, None when it was not."""
        for name, value in self._cycle.scope["headers"]:
            if name == _CONTENT_LENGTH:
                return int(value)
        return None

    @property
    def remote_addr(self) -> str:
        """``ip:port`` of the client."""
        client = self._protocol.client
        return f"{client[0]}:{client[1]}" if client else ""

    @property
    def checked(self) -> object:
        """For ``weir_proxy.access``: the credential that it last accepted on this connection."""
        return self._protocol.checked

    @checked.setter
    def checked(self, checked: object) -> None:
        self._protocol.checked = checked

    @property
    def client_gone(self) -> bool:
        """Whether the client has hung up."""
        return self._protocol.client_gone

    @property
    def body_overdue(self) -> bool:
        """Whether the body came too slowly."""
        return self._protocol.overdue is self._cycle

    @property
    def answering(self) -> bool:
        """Whether the answer has begun to go out."""
        started: bool = self._cycle.response_started
        return started

    def on_client_gone(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` once when the client hangs up."""
        self._protocol.call_when_gone = callback

    def forget_client_gone(self, callback: Callable[[], None]) -> None:
        """Do not call it any more; the next request on the connection may have its own by now."""
        if self._protocol.call_when_gone is callback:
            self._protocol.call_when_gone = None

    def abort(self) -> None:
        """Cut the connection off, so that nobody takes the answer for complete."""
        self._protocol.transport.abort()

    async def answer(self, status: int, headers: Iterable[tuple[str, str]], body: bytes) -> None:
        """Send a whole answer, head and body, in one write; Content-Length is added.

        ASGI's two messages would be two packets, at a quarter of what the whole call costs. Waits while the
        client does not read what it was sent before; does nothing when it has hung up.

        Raises:
            ValueError: A header holds a line break.
        """
        cycle = self._cycle
        if cycle.response_started:
            # Something failed behind the first bytes: a second head would look like a part of the body.
            self.abort()
            return
        if cycle.flow.write_paused and not cycle.disconnected:
            try:
                async with asyncio.timeout(_UNREAD_S):
                    await cycle.flow.drain()
            except TimeoutError:
                self.abort()
                return
        if cycle.disconnected:
            return
        lines = [f"{name}: {value}\r\n" for name, value in headers]
        lines.append(f"content-length: {len(body)}\r\n")
        if not cycle.keep_alive:
            lines.append("connection: close\r\n")
        head = "".join(lines)
        if head.count("\n") != len(lines) or head.count("\r") != len(lines):
            raise ValueError("a header of the answer holds a line break")
        if cycle.scope["method"] == "HEAD":
            body = b""
        status_line = STATUS_LINE[status]
        cycle.response_started = cycle.response_complete = True
        cycle.message_event.set()
        self._protocol.transport.write(b"%b%b\r\n%b" % (status_line, head.encode("latin-1", "replace"), body))
        if not cycle.keep_alive:
            self._protocol.transport.close()
        cycle.on_response()
