"""A small load of mixed calls whose completed answers are remembered by request id."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import httpx2

_CONCURRENCY = 16


class Ask(NamedTuple):
    """One kind of call: where to, for which model, and what ends its streams."""

    path: str
    model: str
    terminal: bytes


def openai(slug: str) -> Ask:
    """Chat completions of an OpenAI LLM."""
    return Ask(f"/llm/call/{slug}/v1/chat/completions", "gpt-4o-mini", b"data:[DONE]")


def anthropic(slug: str) -> Ask:
    """Messages of an Anthropic LLM."""
    return Ask(f"/llm/call/{slug}/v1/messages", "claude-sonnet-4-6", b'data:{"type":"message_stop"}')


@dataclass
class Load:
    """Calls until told to stop.

    ``completed`` holds answers that arrived whole, terminal event included, ``torn`` those that began with a
    200 and then broke off; both by request id, with ``stream`` or ``json``. ``served_paths`` are the paths with
    at least one completed answer. ``failed`` says of every call that was not answered whole what came instead,
    ``refused`` of those alone that got a whole answer of another status.
    """

    base_url: str
    asks: tuple[Ask, ...]
    headers: Mapping[str, str]
    callers: int = _CONCURRENCY
    completed: dict[str, str] = field(default_factory=dict)
    torn: dict[str, str] = field(default_factory=dict)
    served_paths: set[str] = field(default_factory=set)
    failed: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def start(self) -> None:
        """Begin to call from several tasks at once."""
        self._tasks = [asyncio.create_task(self._caller(number)) for number in range(self.callers)]

    async def stop(self) -> None:
        """Let every caller finish its call, then end; every kind of call must have been answered by then."""
        self._stop.set()
        await asyncio.gather(*self._tasks)
        silent = {ask.path for ask in self.asks} - self.served_paths
        assert not silent, f"no call to {silent} was ever answered"

    async def _caller(self, number: int) -> None:
        async with httpx2.AsyncClient(base_url=self.base_url, headers=self.headers, timeout=20.0) as client:
            for turn in itertools.count(number):
                if self._stop.is_set():
                    return
                ask = self.asks[turn % len(self.asks)]
                if not await self._call(client, ask, stream=turn // len(self.asks) % 2 == 0):
                    await asyncio.sleep(0.02)  # the gateway is being restarted

    async def _call(self, client: httpx2.AsyncClient, ask: Ask, *, stream: bool) -> bool:
        """Whether an answer came whole."""
        body = {
            "model": ask.model,
            "messages": [{"role": "user", "content": "hi"}],
            "stream": stream,
            "max_tokens": 64,
        }
        content, answer, error = b"", None, ""
        try:
            async with client.stream("POST", ask.path, json=body) as answer:
                async for piece in answer.aiter_bytes():
                    content += piece
        except httpx2.TransportError as broken:
            error = repr(broken)
        if answer is None or answer.status_code != 200 or error:
            status = 0 if answer is None else answer.status_code
            self.failed.append(f"{ask.path}: {status} {error or content.decode()}")
            if not error:
                self.refused.append(self.failed[-1])
        if answer is None or answer.status_code != 200:
            return False
        request_id = answer.headers["x-request-id"]
        if error:
            self.torn[request_id] = "stream" if stream else "json"
            return False
        if stream:
            assert ask.terminal in content.replace(b" ", b""), content[-200:]
        self.completed[request_id] = "stream" if stream else "json"
        self.served_paths.add(ask.path)
        return True
