"""An upstream whose every byte a test decides: what the mock upstream cannot be told to do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from tests.support.wire import body_length

STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
DONE = b"data: [DONE]\n\n"


def text_event(text: str, finish: str | None = None) -> bytes:
    """One event of an OpenAI chat stream."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-mini"}
    return b"data: " + json.dumps(chunk | {"choices": [choice]}).encode() + b"\n\n"


def usage_event(prompt: int, response: int) -> bytes:
    """The event with an OpenAI chat stream's counters."""
    usage = {"prompt_tokens": prompt, "completion_tokens": response, "total_tokens": prompt + response}
    chunk: dict[str, Any] = {"id": "c", "object": "chat.completion.chunk", "created": 1, "choices": []}
    return b"data: " + json.dumps(chunk | {"usage": usage}).encode() + b"\n\n"


class PuppetCall:
    """One request that arrived, and the connection to answer it on."""

    def __init__(self, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> None:
        self.head = head
        self.body = body
        self.left = asyncio.Event()
        """Set when the gateway has closed the connection."""
        self._writer = writer

    @property
    def request_id(self) -> str:
        """The gateway's id of the call."""
        name = b"x-request-id:"
        [line] = [line for line in self.head.split(b"\r\n") if line.lower().startswith(name)]
        return line[len(name) :].strip().decode()

    async def send(self, data: bytes) -> None:
        """Send these bytes as they are."""
        self._writer.write(data)
        await self._writer.drain()

    async def event(self, data: bytes) -> None:
        """Send a piece of a body whose head was ``STREAM_HEAD``."""
        await self.send(b"%x\r\n%b\r\n" % (len(data), data))

    async def end(self) -> None:
        """End such a body."""
        await self.send(b"0\r\n\r\n")

    async def answer(self, body: bytes, *headers: str, status: str = "200 OK") -> None:
        """Send a whole answer."""
        lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", *headers]
        await self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    async def close(self) -> None:
        """Close the connection, whatever of the answer is missing."""
        self._writer.close()
        await self._writer.wait_closed()


class Puppet:
    """Takes calls one after the other; it never answers by itself."""

    def __init__(self) -> None:
        self._calls: asyncio.Queue[PuppetCall] = asyncio.Queue()
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    @property
    def waiting(self) -> int:
        """Calls that arrived and were not taken."""
        return self._calls.qsize()

    async def call(self) -> PuppetCall:
        """Wait for the next call."""
        return await asyncio.wait_for(self._calls.get(), 30)

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        call: PuppetCall | None = None
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                call = PuppetCall(head, await reader.readexactly(body_length(head)), writer)
                self._calls.put_nowait(call)
        if call is not None:
            call.left.set()
        writer.close()
        self._serving.discard(task)


@asynccontextmanager
async def puppet() -> AsyncIterator[Puppet]:
    """A listening puppet that is gone afterwards."""
    upstream = Puppet()
    await upstream.open()
    try:
        yield upstream
    finally:
        await upstream.close()
