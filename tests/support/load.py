"""A small load of mixed calls whose completed answers are remembered by request id."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field

import httpx2

_CONCURRENCY = 16


@dataclass
class Load:
    """Calls until told to stop. ``completed`` holds only answers that arrived whole, terminal event included."""

    urls: dict[str, str]
    secret: str
    completed: dict[str, str] = field(default_factory=dict)
    broken: int = 0
    refused: dict[int, int] = field(default_factory=dict)
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def start(self) -> None:
        """Begin to call from several tasks at once."""
        self._tasks = [asyncio.create_task(self._caller(number)) for number in range(_CONCURRENCY)]

    async def stop(self) -> None:
        """Let every caller finish its call, then end."""
        self._stop.set()
        await asyncio.gather(*self._tasks)

    async def _caller(self, number: int) -> None:
        async with httpx2.AsyncClient(
            headers={"authorization": f"Bearer {self.secret}", "anthropic-version": "2023-06-01"},
            timeout=20.0,
        ) as client:
            for turn in itertools.count(number):
                if self._stop.is_set():
                    return
                await self._call(client, "openai" if turn % 3 else "anthropic", stream=turn % 2 == 0)

    async def _call(self, client: httpx2.AsyncClient, vendor: str, *, stream: bool) -> None:
        model = "gpt-4o-mini" if vendor == "openai" else "claude-sonnet-4-6"
        body = {
            "model": model,
            "messages": [{"role": "user", "content": "hi"}],
            "stream": stream,
            "max_tokens": 64,
        }
        terminal = b"data: [DONE]\n\n" if vendor == "openai" else b'data: {"type":"message_stop"}\n\n'
        try:
            answer = await client.post(self.urls[vendor], json=body)
        except httpx2.TransportError:
            self.broken += 1
            await asyncio.sleep(0.02)  # the gateway is being restarted
            return
        if answer.status_code != 200:
            self.refused[answer.status_code] = self.refused.get(answer.status_code, 0) + 1
            await asyncio.sleep(0.02)  # as above
        elif not stream or terminal.replace(b" ", b"") in answer.content.replace(b" ", b""):
            self.completed[answer.headers["x-request-id"]] = "stream" if stream else "json"
