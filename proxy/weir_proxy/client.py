"""One request on its connection, as the gateway sees it: what the client sent, and its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from weir_proxy.errors import ClientBrokenError, ClientGoneError, ClientTooSlowError
from weir_proxy.headers import RequestHeaders, header_lines

if TYPE_CHECKING:
    from weir_proxy.protocol import GatewayProtocol

_UNREAD_S: Final = 30.0
_BODILESS: Final = frozenset((204, 304))
_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}
_STATUS_LINES: Final = {
    status: f"HTTP/1.1 {status} {_PHRASES.get(status, '')}\r\n" for status in range(100, 600)
}

HeaderItems = Iterable[tuple[str, str]]


class ClientRequest:
    """Made by ``GatewayProtocol`` for each request; the answer is ``answer``, or ``start`` and ``write``.

    Attributes:
        method: As sent.
        raw_path: As sent, still percent-encoded, without the query.
        query: What follows the question mark.
        content_length: Bytes that the body was announced with, None when it was not.
        overdue: The body came too slowly; nothing more of it is waited for.
        broken: The body is not framed as HTTP/1.1 says, so its rest cannot be read.
        answering: The answer has begun to go out.
        answered: The answer is complete, or was cut off.
    """

    __slots__ = (
        "_body_complete",
        "_chunked",
        "_expects_continue",
        "_pieces",
        "_protocol",
        "_raw_headers",
        "_unread",
        "_waiter",
        "answered",
        "answering",
        "broken",
        "content_length",
        "keep_alive",
        "method",
        "overdue",
        "query",
        "raw_path",
    )

    def __init__(
        self,
        protocol: GatewayProtocol,
        *,
        method: str,
        raw_path: str,
        query: str,
        raw_headers: list[tuple[bytes, bytes]],
        content_length: int | None,
        keep_alive: bool,
        chunked: bool,
        expects_continue: bool,
    ) -> None:
        self.method = method
        self.raw_path = raw_path
        self.query = query
        self.content_length = content_length
        self.keep_alive = keep_alive
        self.overdue = self.broken = self.answering = self.answered = False
        self._protocol = protocol
        self._raw_headers = raw_headers
        self._chunked = chunked
        self._expects_continue = expects_continue
        self._pieces: list[bytes] = []
        self._unread = 0
        self._body_complete = False
        self._waiter: asyncio.Future[None] | None = None

    def headers(self) -> RequestHeaders:
        """All headers but Content-Length."""
        return self._protocol.parsed_headers(self._raw_headers)

    @property
    def remote_addr(self) -> str:
        """``ip:port`` of the client."""
        return self._protocol.remote_addr

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

    def on_client_gone(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` once when the client hangs up."""
        self._protocol.call_when_gone = callback

    def forget_client_gone(self, callback: Callable[[], None]) -> None:
        """Do not call it any more; the next request on the connection may have its own by now."""
        if self._protocol.call_when_gone is callback:
            self._protocol.call_when_gone = None

    async def read(self) -> bytes | None:
        """The next piece of the body, None at its end.

        Raises:
            ClientGoneError: The client hung up in the middle of it.
            ClientBrokenError: It is not framed as HTTP/1.1 says.
            ClientTooSlowError: It comes too slowly.
        """
        if self._expects_continue and not self._body_complete and not self.answering:
            self._expects_continue = False
            self._protocol.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while not self._pieces:
            if self._body_complete:
                return None
            if self._protocol.client_gone:
                raise ClientGoneError("the client hung up while sending its request body")
            if self.broken:
                raise ClientBrokenError("the request body is not framed as HTTP/1.1 says")
            if self.overdue:
                raise ClientTooSlowError("the request body came too slowly")
            await self._wait()
        piece = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._unread = 0
        self._protocol.take_more()
        return piece

    async def answer(self, status: int, headers: HeaderItems, body: bytes) -> None:
        """Send a whole answer, head and body, in one write; Content-Length is added.

        Waits while the client does not read what it was sent before; does nothing when it has hung up.

        Raises:
            ValueError: A header holds a line break.
        """
        if self.answering:
            # Something failed behind the first bytes: a second head would look like a part of the body.
            if not self.answered:
                self.abort()
            return
        await self._writable(_UNREAD_S)
        if self._protocol.client_gone:
            return
        framing = "" if status in _BODILESS else f"content-length: {len(body)}\r\n"
        head = self._head(status, headers, framing)
        self._protocol.write(head if self.method == "HEAD" or status in _BODILESS else head + body)
        self._complete()

    async def start(self, status: int, headers: HeaderItems) -> None:
        """Send the head of an answer whose body follows in pieces.

        Raises:
            ValueError: A header holds a line break.
        """
        await self._writable(None)
        if not self._chunked:
            self.keep_alive = False
        framing = "transfer-encoding: chunked\r\n" if self._chunked else ""
        self._protocol.write(self._head(status, headers, framing))

    async def write(self, piece: bytes) -> None:
        """Send a piece of the body; waits while the client does not read."""
        await self._writable(None)
        if piece:
            self._protocol.write(b"%x\r\n%b\r\n" % (len(piece), piece) if self._chunked else piece)

    async def finish(self, piece: bytes) -> None:
        """Send the last piece, and with it the end of the body."""
        await self._writable(None)
        if self._chunked:
            last = b"%x\r\n%b\r\n" % (len(piece), piece) if piece else b""
            self._protocol.write(last + b"0\r\n\r\n")
        else:
            self._protocol.write(piece)
        self._complete()

    def abort(self) -> None:
        """Cut the connection off, so that nobody takes the answer for complete."""
        self.answered = True
        self._protocol.abort()

    # What the protocol calls.

    def feed(self, piece: bytes) -> int:
        """A piece of the body has come; returns how many bytes wait to be read."""
        if self.answered:
            return 0
        self._pieces.append(piece)
        # Counted as it grows: a hostile client sends a body in pieces of one byte.
        self._unread += len(piece)
        self._wake()
        return self._unread

    def body_is_complete(self) -> None:
        """The whole body has come."""
        self._body_complete = True
        self._wake()

    def body_is_overdue(self) -> None:
        """The body comes too slowly to be waited for."""
        self.overdue = True
        self._wake()

    def body_is_broken(self) -> None:
        """What came is no body; what follows cannot be told from it."""
        self.broken = True
        self._wake()

    def client_is_gone(self) -> None:
        """The client has hung up: nobody waits for it any more."""
        self._wake()

    def _head(self, status: int, headers: HeaderItems, framing: str) -> bytes:
        close = "" if self.keep_alive else "connection: close\r\n"
        head = f"{_STATUS_LINES[status]}{header_lines(headers)}{framing}{close}\r\n"
        self.answering = True
        return head.encode("latin-1", "replace")

    def _complete(self) -> None:
        self.answered = True
        self._pieces.clear()
        self._protocol.answer_is_complete(self)

    async def _writable(self, timeout_s: float | None) -> None:
        if self._protocol.paused_writing is None:
            return
        try:
            async with asyncio.timeout(timeout_s):
                await self._protocol.writable()
        except TimeoutError:
            self.abort()

    async def _wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
