"""Payloads from the edge to control through a gateway whose processes die: each arrives, in order."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.support.gateway import Caller, Gateway, eventually, running_gateway
from tests.support.world import PLUGINS
from tests.system.test_kafka_gateway import applied, kafka_options

_BATCH = 20


@dataclass
class Post:
    """One sending plugin on an LLM of its own. ``sent`` were acknowledged; a number is tried once only."""

    gateway: Gateway
    slug: str
    plugin_id: int
    caller: Caller
    next_number: int = 0
    sent: list[int] = field(default_factory=list)

    async def send(self, client: httpx2.AsyncClient) -> int | None:
        """Send a batch of payloads; return ``pending_count``, or None when it is not known to be sent."""
        first, self.next_number = self.next_number, self.next_number + _BATCH
        try:
            answer = await self.order(client, first, _BATCH)
        except httpx2.HTTPError:
            return None
        if answer.status_code != 200:
            return None
        self.sent += range(first, first + _BATCH)
        pending: int = answer.json()["pending"]
        return pending

    async def order(self, client: httpx2.AsyncClient, first: int, count: int) -> httpx2.Response:
        return await client.post(
            f"{self.gateway.url}/llm/call/{self.slug}/v1/chat/completions",
            json={"model": "m", "messages": [], "first": first, "count": count},
            headers={"authorization": f"Bearer {self.caller.secret}"},
        )


@dataclass
class Office:
    """A gateway with two senders: one has its own half in control, the other an aggregator."""

    gateway: Gateway
    posts: list[Post]
    arrivals: Path
    client: httpx2.AsyncClient

    def arrived(self, post: Post) -> list[int]:
        """The numbers that arrived from a sender, each when it came first."""
        lines = self.arrivals.read_text().splitlines() if self.arrivals.exists() else []
        numbers = (line.split() for line in lines)
        return list(
            dict.fromkeys(int(number) for _, plugin, number in numbers if int(plugin) == post.plugin_id)
        )

    async def all_arrived(self) -> None:
        async def arrived() -> bool:
            return all(set(post.sent) <= set(self.arrived(post)) for post in self.posts)

        await eventually(arrived, "every acknowledged payload arrives", within_s=60.0)

    async def payloads(self, state: str) -> list[dict[str, Any]]:
        answer = await self.gateway.api.get("/api/v1/edge-payloads", params={"state": state})
        data: list[dict[str, Any]] = answer.raise_for_status().json()["data"]
        return data


async def post_of(gateway: Gateway, slug: str, cls: str, hook_types: list[str], **config: Any) -> Post:
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


@asynccontextmanager
async def office(tmp_path: Path, **settings: str) -> AsyncIterator[Office]:
    arrivals = tmp_path / "arrivals"
    async with (
        running_gateway(tmp_path / "data", plugin_path=PLUGINS, **settings) as gateway,
        httpx2.AsyncClient(timeout=30.0) as client,
    ):
        receiver = await gateway.create(
            "plugins",
            name="aggregator",
            command="python://weir_payload_plugins:Receiver",
            runtime="studio",
            hook_types=["studio"],
            config={"file": str(arrivals)},
        )
        await gateway.hosted(receiver["id"])
        posts = [
            await post_of(gateway, "plain", "Sender", ["post_auth"]),
            await post_of(gateway, "halves", "Both", ["post_auth", "studio"], file=str(arrivals)),
        ]
        yield Office(gateway, posts, arrivals, client)


async def test_payloads_arrive_in_order_and_nothing_stays_pending(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        for _ in range(10):
            for post in at.posts:
                pending = await post.send(at.client)
                assert pending is not None
                assert pending >= 1
        await at.all_arrived()
        for post in at.posts:
            assert at.arrived(post) == post.sent

            async def settled(post: Post = post) -> bool:
                sent = await post.send(at.client)
                return sent is not None and sent <= 2 * _BATCH

            await eventually(settled, "what has a result does not count as pending")
        assert await at.payloads("failed") == []


async def test_a_collector_sends_from_its_own_process(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        collector = await at.gateway.create(
            "plugins",
            name="counting",
            command="python://weir_payload_plugins:Counting",
            hook_types=["data_collection"],
            service_scopes=["control.send"],
        )
        await at.gateway.hosted(collector["id"])
        counting = Post(at.gateway, "", collector["id"], at.posts[0].caller)
        for _ in range(3):
            await at.posts[0].send(at.client)

        async def counted() -> bool:
            return at.arrived(counting) == [1, 2, 3]

        await eventually(counted, "the collector's payloads arrive")


@pytest.mark.system
@pytest.mark.crash
@pytest.mark.timeout(300)
async def test_payloads_arrive_in_order_by_way_of_kafka_while_control_and_relay_are_killed(
    tmp_path: Path, kafka: str
) -> None:
    settings = await applied(kafka)
    await kill_under_load(tmp_path, ("relay", "control", "proxy", "relay"), **kafka_options(settings))


@pytest.mark.crash
@pytest.mark.timeout(300)
async def test_processes_are_killed_under_load_and_every_payload_arrives_in_order(tmp_path: Path) -> None:
    everything = ("proxy", "control", "everything", "collectors", "control", "proxy", "everything")
    await kill_under_load(tmp_path, everything)


async def kill_under_load(tmp_path: Path, victims: Sequence[str], **settings: str) -> None:
    """Kill processes one after the other, and check that nothing is lost, late or in a wrong place."""
    moments = random.Random(20261122)
    async with office(tmp_path, **settings) as at:
        stop = asyncio.Event()

        async def keep_sending(post: Post) -> None:
            while not stop.is_set():
                if await post.send(at.client) is None:
                    await asyncio.sleep(0.05)

        async with asyncio.TaskGroup() as load:
            for post in at.posts:
                load.create_task(keep_sending(post))
            for victim in victims:
                await asyncio.sleep(moments.uniform(0.5, 1.5))  # the random moment is the test
                await kill(at.gateway, victim)
            stop.set()
        await at.all_arrived()
        for post in at.posts:
            arrived = at.arrived(post)
            assert len(post.sent) > 500
            assert arrived == sorted(arrived)
        await eventually(partial(nothing_waits, at), "everything is delivered")
        assert await at.payloads("failed") == []
        await eventually(partial(nothing_pending, at), "pending_count returns to zero")


async def kill(gateway: Gateway, victim: str) -> None:
    if victim == "everything":
        await gateway.kill_everything()
        await gateway.start()
        return
    found = [pid for pid, command in gateway.children().items() if f"weir_cli.child {victim}" in command]
    for pid in found:
        os.kill(pid, signal.SIGKILL)


async def nothing_waits(at: Office) -> bool:
    return await at.payloads("waiting") == []


async def nothing_pending(at: Office) -> bool:
    """Each worker's file has its pending payloads; together they are ``pending_count``."""
    directory = at.gateway.data_dir / "edge-payloads"
    return all(b'"pending":{}' in path.read_bytes() for path in directory.glob("*.json"))
