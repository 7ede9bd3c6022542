"""A server in front of a real Elasticsearch that lets requests through, or has a mood of its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import httpx2
from tests.support.wire import body_length

Through = Callable[[], Awaitable[bytes]]
Mood = Callable[[Through], Awaitable[bytes | None]]
"""Gets a way to have Elasticsearch's own answer; returns what to send, None to hang up."""


async def honest(through: Through) -> bytes | None:
    """Elasticsearch itself."""
    return await through()


async def deaf(through: Through) -> bytes | None:
    """Never answers, and passes nothing on."""
    return await asyncio.get_running_loop().create_future()


async def forgetful(through: Through) -> bytes | None:
    """Has everything done, and hangs up without a word of it."""
    await through()
    return None


def refusing(status: int) -> Mood:
    """Answers every request with an error, and passes nothing on."""

    async def refuse(through: Through) -> bytes | None:
        return _answer(status, json.dumps({"error": "not now", "status": status}).encode())

    return refuse


class ElasticFront:
    """Listens beside Elasticsearch; ``mood`` is about bulk requests alone."""

    def __init__(self, behind: str) -> None:
        self.mood: Mood = honest
        self.bulks = 0
        self._behind = behind
        self._port = 0
        self._server: asyncio.Server | None = None
        self._client = httpx2.AsyncClient(base_url=behind, timeout=30)
        self._serving: set[asyncio.Task[None]] = set()
        self._asked = asyncio.Condition()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def open(self) -> None:
        """Listen, at the port it had before."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def leave(self) -> None:
        """Refuse connections until it is opened again, and cut those that there are."""
        assert self._server is not None
        self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def close(self) -> None:
        await self.leave()
        await self._client.aclose()

    async def asked(self, more: int) -> None:
        """Wait for so many bulk requests more than there were."""
        enough = self.bulks + more
        async with self._asked:
            await self._asked.wait_for(lambda: self.bulks >= enough)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while (answer := await self._answer_next(reader)) is not None:
                writer.write(answer)
                await writer.drain()
        writer.close()
        self._serving.discard(task)

    async def _answer_next(self, reader: asyncio.StreamReader) -> bytes | None:
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(body_length(head))
        if b"/_bulk" not in head.split(b"\r\n")[0]:
            return await self._through(head, body)
        async with self._asked:
            self.bulks += 1
            self._asked.notify_all()
        return await self.mood(lambda: self._through(head, body))

    async def _through(self, head: bytes, body: bytes) -> bytes:
        first, *lines = head.decode().strip().split("\r\n")
        method, target, _ = first.split(" ")
        headers = [line.partition(": ")[::2] for line in lines]
        kept = {name: value for name, value in headers if name.lower() in ("accept", "content-type")}
        answer = await self._client.request(method, target, content=body, headers=kept)
        return _answer(answer.status_code, answer.content, answer.headers.get("content-type", ""))


def _answer(status: int, body: bytes, content_type: str = "application/json") -> bytes:
    head = [
        f"HTTP/1.1 {status} X",
        "x-elastic-product: Elasticsearch",
        f"content-type: {content_type}",
        f"content-length: {len(body)}",
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


@asynccontextmanager
async def elastic_front(behind: str) -> AsyncIterator[ElasticFront]:
    """A listening front that is gone afterwards."""
    front = ElasticFront(behind)
    await front.open()
    try:
        yield front
    finally:
        await front.close()
