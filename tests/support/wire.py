"""A client that is no HTTP library: it sends what a test writes and reads what really came."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

WITHIN_S = 30.0


class Answer(NamedTuple):
    """One answer; header names in lower case. ``body`` has no chunk sizes in it."""

    status: int
    headers: dict[str, str]
    body: bytes


def request(body: bytes, *headers: str, path: str, method: str = "POST") -> bytes:
    """A whole request with its Content-Length."""
    lines = [f"{method} {path} HTTP/1.1", "host: gateway", f"content-length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def body_length(head: bytes) -> int:
    """What Content-Length says, 0 when it is not there."""
    for line in head.lower().split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name == b"content-length":
            return int(value)
    return 0


@dataclass
class Wire:
    """One connection to the gateway."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def head(self) -> Answer:
        """The next answer's head; its body is still to be read."""
        raw = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), WITHIN_S)
        status_line, *lines = raw.decode("latin-1").rstrip("\r\n").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return Answer(int(status_line.split(" ")[1]), headers, b"")

    async def answer(self) -> Answer:
        """The next whole answer.

        Raises:
            asyncio.IncompleteReadError, ConnectionError: It broke off.
        """
        answer = await self.head()
        if answer.headers.get("transfer-encoding") == "chunked":
            pieces = [piece async for piece in self.chunks()]
            return answer._replace(body=b"".join(pieces))
        length = int(answer.headers.get("content-length", "0"))
        return answer._replace(body=await asyncio.wait_for(self.reader.readexactly(length), WITHIN_S))

    async def chunk(self) -> bytes:
        """The next chunk of a chunked body; empty is its end."""
        size = await asyncio.wait_for(self.reader.readuntil(b"\r\n"), WITHIN_S)
        data = await asyncio.wait_for(self.reader.readexactly(int(size, 16) + 2), WITHIN_S)
        return data[:-2]

    async def chunks(self) -> AsyncIterator[bytes]:
        """Every chunk up to the end of a chunked body."""
        while piece := await self.chunk():
            yield piece

    async def rest(self) -> bytes:
        """Everything until the gateway closes the connection; what a reset cut off is lost."""
        received = b""
        try:
            while piece := await asyncio.wait_for(self.reader.read(65536), WITHIN_S):
                received += piece
        except ConnectionError:
            pass
        return received

    def hang_up(self) -> None:
        """Be gone at once."""
        self.writer.transport.abort()


@asynccontextmanager
async def connected(port: int, **options: Any) -> AsyncIterator[Wire]:
    """A connection that is gone afterwards."""
    wire = Wire(*await asyncio.open_connection("127.0.0.1", port, **options))
    try:
        yield wire
    finally:
        wire.hang_up()
