"""A gateway on the mock upstream with two LLMs and an app: where most whole-gateway tests begin."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import httpx2
from tests.support.gateway import Caller, Gateway, running_gateway
from tests.support.records import Families
from tests.support.wire import Answer, Wire, connected, request

from weir_cli.mock_upstream.process import DEFAULT_KEY, RunningMock

PLUGINS = Path(__file__).parent / "plugins"
CHAT = "/llm/call/gpt/v1/chat/completions"
QUESTION: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}


@dataclass(frozen=True)
class Door:
    """One LLM of a test's own and the path that asks it for a chat completion."""

    slug: str
    path: str
    llm_id: int
    caller: Caller


@dataclass(frozen=True)
class World:
    """``client`` calls as the app that may use both LLMs; ``families`` reads what its calls left."""

    gateway: Gateway
    upstream: RunningMock
    openai_id: int
    anthropic_id: int
    caller: Caller
    client: httpx2.AsyncClient
    families: Families
    numbers: count[int]

    def url(self, slug: str, mode: str = "call") -> str:
        return f"{self.gateway.url}/llm/{mode}/{slug}"

    def wire(self, **options: Any) -> AbstractAsyncContextManager[Wire]:
        """A connection to the gateway without an HTTP library."""
        return connected(self.gateway.port, **options)

    async def exchange(self, data: bytes) -> Answer:
        """Send bytes as they are on a connection of their own, and read one answer."""
        async with self.wire() as wire:
            await wire.send(data)
            return await wire.answer()

    def request(self, body: bytes, *headers: str, path: str = CHAT) -> bytes:
        """A whole request of the app."""
        return request(body, f"authorization: Bearer {self.caller.secret}", *headers, path=path)

    async def door(self, endpoint: str | None = None, **fields: Any) -> Door:
        """An OpenAI LLM of a test's own at ``endpoint`` (the mock when None), and an app that may use it."""
        slug = f"door-{next(self.numbers)}"
        settings = {"vendor": "openai", "api_endpoint": endpoint or self.upstream.url, "api_key": DEFAULT_KEY}
        llm = await self.gateway.create("llms", **{"name": slug, "slug": slug, **settings, **fields})
        caller = await self.gateway.caller(llm["id"])
        return Door(slug, CHAT.replace("gpt", slug), llm["id"], caller)

    async def attach(
        self, door: Door, cls: str, *hook_types: str, config: dict[str, Any] | None = None, **attachment: Any
    ) -> str:
        """Attach one of ``weir_test_plugins`` to a door and return its name."""
        name = f"{cls.lower()}-{next(self.numbers)}"
        plugin = await self.gateway.create(
            "plugins",
            name=name,
            slug=name,
            command=f"python://weir_test_plugins:{cls}",
            hook_types=list(hook_types),
            config=config or {},
        )
        attached = [{"plugin_id": plugin["id"], **attachment}]
        await self.gateway.write("PUT", f"llms/{door.llm_id}/plugins", plugins=attached)
        return name

    async def ask(self, door: Door, **fields: Any) -> httpx2.Response:
        """One chat completion of a door."""
        headers = {"authorization": f"Bearer {door.caller.secret}"}
        return await self.client.post(door.path, json=QUESTION | fields, headers=headers)


@asynccontextmanager
async def open_world(data_dir: Path, upstream: RunningMock, **settings: str) -> AsyncIterator[World]:
    """A running world; ``settings`` are the gateway's."""
    async with running_gateway(data_dir, plugin_path=PLUGINS, **settings) as gateway:
        ids = []
        for vendor, slug in (("openai", "gpt"), ("anthropic", "claude")):
            llm = await gateway.create(
                "llms", name=slug, slug=slug, vendor=vendor, api_endpoint=upstream.url, api_key=DEFAULT_KEY
            )
            ids.append(llm["id"])
        caller = await gateway.caller(*ids, user_id="u-1")
        headers = {"authorization": f"Bearer {caller.secret}"}
        async with httpx2.AsyncClient(base_url=gateway.url, headers=headers, timeout=30.0) as client:
            families = Families(gateway, gateway.url + CHAT, caller.secret)
            yield World(gateway, upstream, ids[0], ids[1], caller, client, families, count(1))
