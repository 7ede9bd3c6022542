"""A streamed call without sockets: an upstream that follows a script, and a client that remembers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager

from weir_proxy.upstream import UpstreamRequest, UpstreamStream

Step = bytes | Exception | Callable[[], object]


class ScriptedUpstream:
    """Answers every call with the same steps: bytes are sent, errors raised, functions called (and awaited)."""

    def __init__(self, steps: Iterable[Step]) -> None:
        self.steps = list(steps)
        self.headers: Sequence[tuple[str, str]] = [("content-type", "text/event-stream")]
        self.read_to_the_end = False
        self.left = False

    @asynccontextmanager
    async def stream(self, request: UpstreamRequest) -> AsyncIterator[UpstreamStream]:
        chunks = self._chunks()
        try:
            yield UpstreamStream(200, self.headers, lambda: chunks)
        finally:
            self.left = True

    async def _chunks(self) -> AsyncIterator[bytes]:
        for step in self.steps:
            if isinstance(step, bytes):
                yield step
            elif isinstance(step, Exception):
                raise step
            elif asyncio.iscoroutine(result := step()):
                await result
        self.read_to_the_end = True


class RememberingClient:
    """What a client was sent, and what was true when its end came."""

    remote_addr = "127.0.0.1:1"

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.writes: list[bytes] = []
        self.end: bytes | None = None
        self.answering = False
        self.client_gone = False
        self.when_finished: Callable[[], object] = lambda: None
        self._callback: Callable[[], None] | None = None

    @property
    def body(self) -> bytes:
        return b"".join([*self.writes, self.end or b""])

    async def start(self, status: int, headers: Iterable[tuple[str, str]]) -> None:
        self.answering, self.status, self.headers = True, status, dict(headers)

    async def write(self, piece: bytes) -> None:
        self.writes.append(piece)

    async def finish(self, piece: bytes) -> None:
        self.when_finished()
        self.end = piece

    def abort(self) -> None:
        self.client_gone = True

    def on_client_gone(self, callback: Callable[[], None]) -> None:
        self._callback = callback

    def forget_client_gone(self, callback: Callable[[], None]) -> None:
        if self._callback is callback:
            self._callback = None

    def hang_up(self) -> None:
        self.client_gone = True
        if self._callback is not None:
            self._callback()
