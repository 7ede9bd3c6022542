"""Plugins at one or more edges that send numbered payloads to control, and what arrives there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from tests.support.gateway import Caller, Gateway, eventually, running_gateway
from tests.support.world import PLUGINS

BATCH = 20


@dataclass
class Post:
    """One sending plugin on an LLM of its own. ``sent`` were acknowledged; a number is tried once only."""

    gateway: Gateway
    slug: str
    plugin_id: int
    caller: Caller
    edge: str = "-"
    next_number: int = 0
    sent: list[int] = field(default_factory=list)

    async def send(self, client: httpx2.AsyncClient) -> int | None:
        """Send a batch of payloads; return ``pending_count``, or None when it is not known to be sent."""
        first, self.next_number = self.next_number, self.next_number + BATCH
        try:
            answer = await self.order(client, first, BATCH)
        except httpx2.HTTPError:
            return None
        if answer.status_code != 200:
            return None
        self.sent += range(first, first + BATCH)
        pending: int = answer.json()["pending"]
        return pending

    async def order(self, client: httpx2.AsyncClient, first: int, count: int) -> httpx2.Response:
        return await client.post(
            f"{self.gateway.url}/llm/call/{self.slug}/v1/chat/completions",
            json={"model": "m", "messages": [], "first": first, "count": count},
            headers={"authorization": f"Bearer {self.caller.secret}"},
        )

    async def keep_sending(
        self, client: httpx2.AsyncClient, stop: asyncio.Event, pause_s: float = 0.0
    ) -> None:
        """Send batch after batch until told to stop."""
        while not stop.is_set():
            failed = await self.send(client) is None
            await asyncio.sleep(max(pause_s, 0.05 if failed else 0.0))


@dataclass
class Office:
    """Gateways with senders, and the file in which the receiving plugins note what arrives."""

    gateways: Sequence[Gateway]
    posts: list[Post]
    arrivals: Path
    client: httpx2.AsyncClient

    @property
    def gateway(self) -> Gateway:
        """The first one, or the only one."""
        return self.gateways[0]

    def arrived(self, post: Post) -> list[int]:
        """The numbers that arrived from a sender, each when it came first."""
        lines = self.arrivals.read_text().splitlines() if self.arrivals.exists() else []
        mine = (post.edge, str(post.plugin_id))
        numbers = (line.split() for line in lines)
        return list(dict.fromkeys(int(number) for edge, plugin, number in numbers if (edge, plugin) == mine))

    async def all_arrived(self, within_s: float = 60.0) -> None:
        async def arrived() -> bool:
            return all(set(post.sent) <= set(self.arrived(post)) for post in self.posts)

        await eventually(arrived, "every acknowledged payload arrives", within_s=within_s)

    async def payloads(self, state: str) -> list[dict[str, Any]]:
        answer = await self.gateway.api.get("/api/v1/edge-payloads", params={"state": state})
        data: list[dict[str, Any]] = answer.raise_for_status().json()["data"]
        return data

    async def check_the_books(self, within_s: float = 60.0) -> None:
        """Everything arrived, in order, nothing waits or has failed, and no edge waits for a result."""
        await self.all_arrived(within_s)
        for post in self.posts:
            arrived = self.arrived(post)
            assert arrived == sorted(arrived)
        await eventually(self._nothing_waits, "everything is delivered", within_s=within_s)
        assert await self.payloads("failed") == []
        await eventually(self._nothing_pending, "pending_count returns to zero", within_s=within_s)

    async def _nothing_waits(self) -> bool:
        return await self.payloads("waiting") == []

    async def _nothing_pending(self) -> bool:
        """Each worker's file has its pending payloads; together they are ``pending_count``."""
        directories = [gateway.data_dir / "edge-payloads" for gateway in self.gateways]
        files = [path for directory in directories for path in directory.glob("*.json")]
        return all(b'"pending":{}' in path.read_bytes() for path in files)


async def post_of(gateway: Gateway, slug: str, cls: str, hook_types: list[str], **config: Any) -> Post:
    """A sender: an LLM, the plugin on it, and an app that may call it."""
    llm = await gateway.create(
        "llms", name=slug, slug=slug, vendor="openai", api_endpoint="http://127.0.0.1:9", api_key="k"
    )
    plugin = await gateway.create(
        "plugins",
        name=slug,
        command=f"python://weir_payload_plugins:{cls}",
        hook_types=hook_types,
        config=config,
        service_scopes=["control.send"],
    )
    await gateway.write("PUT", f"llms/{llm['id']}/plugins", plugin_ids=[plugin["id"]])
    await gateway.hosted(plugin["id"])
    return Post(gateway, slug, plugin["id"], await gateway.caller(llm["id"]))


async def add_receiver(gateway: Gateway, arrivals: Path, command: str) -> None:
    """A plugin in control that notes in a file what arrives."""
    receiver = await gateway.create(
        "plugins",
        name="aggregator",
        command=command,
        runtime="studio",
        hook_types=["studio"],
        config={"file": str(arrivals)},
    )
    await gateway.hosted(receiver["id"])


@asynccontextmanager
async def office(tmp_path: Path, **settings: str) -> AsyncIterator[Office]:
    """One gateway with two senders: one has its own half in control, the other an aggregator."""
    arrivals = tmp_path / "arrivals"
    async with (
        running_gateway(tmp_path / "data", plugin_path=PLUGINS, **settings) as gateway,
        httpx2.AsyncClient(timeout=30.0) as client,
    ):
        await add_receiver(gateway, arrivals, "python://weir_payload_plugins:Receiver")
        posts = [
            await post_of(gateway, "plain", "Sender", ["post_auth"]),
            await post_of(gateway, "halves", "Both", ["post_auth", "studio"], file=str(arrivals)),
        ]
        yield Office((gateway,), posts, arrivals, client)
