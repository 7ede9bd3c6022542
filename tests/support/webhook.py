"""A webhook's receiver: a server that remembers what was posted and answers as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class Receiver:
    """``requests`` are headers and bodies, in order; ``statuses`` what the next ones are answered, then 200."""

    server: asyncio.Server
    statuses: list[int]
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        host, port = self.server.sockets[0].getsockname()
        return f"http://{host}:{port}/alerts"


@asynccontextmanager
async def receiver(*statuses: int) -> AsyncIterator[Receiver]:
    """One that listens."""
    made: list[Receiver] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head[1:] if line)
        }
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        made[0].requests.append((headers, body))
        status = made[0].statuses.pop(0) if made[0].statuses else 200
        writer.write(f"HTTP/1.1 {status} said\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode())
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    made.append(Receiver(server, list(statuses)))
    try:
        yield made[0]
    finally:
        server.close()
