"""Puts a reply on the wire: the waits, the cuts, and a client that leaves first."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Literal, NamedTuple

from weir_cli.mock_upstream.behaviour import Behaviour
from weir_cli.mock_upstream.call import Message, Receive, Send
from weir_cli.mock_upstream.reply import Reply
from weir_cli.mock_upstream.shapes import pieces

Outcome = Literal["completed", "cut", "client_gone"]


class Delivered(NamedTuple):
    """How it ended, and how many pieces were handed to the socket."""

    outcome: Outcome
    sent: int


class Exchange:
    """One answer under way. The request body must have been read to its end.

    Args:
        receive: From then on it returns only when the client is gone.
        send: ASGI send.
        transport: The connection, closed to cut an answer short.
    """

    def __init__(self, receive: Receive, send: Send, transport: asyncio.Transport) -> None:
        self._receive = receive
        self._send = send
        self._transport = transport

    async def deliver(self, reply: Reply, behaviour: Behaviour) -> Delivered:
        """Send all of it, or as much as the behaviour or the client allows."""
        gone = asyncio.ensure_future(self._receive())
        try:
            if await _passed(gone, behaviour.first_byte_ms):
                return Delivered("client_gone", 0)
            if "no_answer" in behaviour.shape:
                return await self._cut(gone, 0)
            return await self._deliver(reply, behaviour, gone)
        finally:
            gone.cancel()

    async def _deliver(self, reply: Reply, behaviour: Behaviour, gone: asyncio.Future[Message]) -> Delivered:
        body = list(pieces(reply, behaviour))
        await self._start(reply, behaviour, body)
        left = behaviour.truncate_after_bytes
        for number, piece in enumerate(body):
            if number and await _passed(gone, behaviour.chunk_ms):
                return Delivered("client_gone", number)
            if number == behaviour.truncate_after_chunks:
                return await self._cut(gone, number)
            if left is not None and left < len(piece):
                await self._write(piece[:left])
                return await self._cut(gone, number)
            left = None if left is None else left - len(piece)
            await self._write(piece)
        if gone.done():
            return Delivered("client_gone", len(body))
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        return Delivered("completed", len(body))

    async def _start(self, reply: Reply, behaviour: Behaviour, body: Iterable[bytes]) -> None:
        headers = [("content-type", reply.content_type), *reply.headers]
        if "gzip" in behaviour.shape:
            headers.append(("content-encoding", "gzip"))
        if not reply.events and "chunked" not in behaviour.shape:
            headers.append(("content-length", str(sum(map(len, body)))))
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        await self._send({"type": "http.response.start", "status": reply.status, "headers": raw})

    async def _write(self, piece: bytes) -> None:
        if piece:
            await self._send({"type": "http.response.body", "body": piece, "more_body": True})

    async def _cut(self, gone: asyncio.Future[Message], sent: int) -> Delivered:
        """Close the connection after what was written, without what would have ended the answer."""
        self._transport.close()
        await gone
        return Delivered("cut", sent)


async def _passed(gone: asyncio.Future[Message], milliseconds: int) -> bool:
    """Wait, but no longer than the client does; True when it left."""
    if milliseconds:
        await asyncio.wait({gone}, timeout=milliseconds / 1000)
    else:
        # One turn of the loop, so that a hang-up which has already arrived is seen.
        await asyncio.sleep(0)
    return gone.done()
