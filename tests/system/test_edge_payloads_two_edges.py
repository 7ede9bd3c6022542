"""Ten thousand payloads from two edges to control, while everything between and behind them is killed.

``WEIR_TEST_PAYLOADS`` is how many.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest
from tests.support.gateway import Gateway
from tests.support.payload_office import Office, add_receiver, post_of
from tests.support.processes import processes_of
from tests.support.servers.kafka import KafkaServer
from tests.support.topology import kill_child
from tests.support.world import PLUGINS
from tests.system.test_kafka_gateway import applied, kafka_options

from weir_core.secrets import KeyRing

pytestmark = [pytest.mark.system, pytest.mark.crash, pytest.mark.timeout(400)]

COUNT = int(os.environ.get("WEIR_TEST_PAYLOADS", "10000"))
EDGES = ("east", "west")
RECEIVER = PLUGINS / "weir_payload_plugins.py"
CHILDREN = ("proxy", "control", "relay", "collectors")


async def test_payloads_from_two_edges_arrive_in_order_whatever_is_killed_and_nothing_stays_pending(
    kafka_programs: None,
    migrated_postgres: str,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    dice = random.Random(20261123)
    server = KafkaServer(tmp_path / "kafka")
    try:
        await asyncio.to_thread(server.start)
        settings = kafka_options(await applied(server.bootstrap_servers))
        async with two_edges(tmp_path, database_url=migrated_postgres, **settings) as at:
            stop = asyncio.Event()
            async with asyncio.TaskGroup() as load:
                for post in at.posts:
                    load.create_task(post.keep_sending(at.client, stop, pause_s=0.1))
                while sum(len(post.sent) for post in at.posts) < COUNT:
                    await asyncio.sleep(dice.uniform(0.2, 1.0))  # the random moment is the test
                    await kill_one(at, server, dice)
                stop.set()
            await at.check_the_books(within_s=120)
            arrived = len(at.arrivals.read_text().splitlines())
            sent = sum(len(post.sent) for post in at.posts)
            record_property("payloads", f"{sent} acknowledged, {arrived} deliveries")
    finally:
        server.stop()


@asynccontextmanager
async def two_edges(tmp_path: Path, **settings: str) -> AsyncIterator[Office]:
    """Two gateways on one Kafka and one database; the receiver is a program, the senders are the same plugins."""
    keys, arrivals = KeyRing.generate_key(), tmp_path / "arrivals"
    gateways = [
        Gateway(tmp_path / edge, plugin_path=PLUGINS, edge_id=edge, encryption_keys=keys, **settings)
        for edge in EDGES
    ]
    async with AsyncExitStack() as opened:
        client = await opened.enter_async_context(httpx2.AsyncClient(timeout=30.0))
        for gateway in gateways:
            opened.push_async_callback(gateway.close)
            await gateway.start()
        await add_receiver(gateways[0], arrivals, f"file://{RECEIVER}")
        made = [
            await post_of(gateways[0], "plain", "Sender", ["post_auth"]),
            await post_of(gateways[0], "halves", "Both", ["post_auth", "studio"], file=str(arrivals)),
        ]
        await gateways[1].applied((await gateways[0].api.get("/ready")).json()["revision"])
        for post in made:
            await gateways[1].hosted(post.plugin_id)
        posts = [
            replace(post, gateway=gateway, edge=edge, sent=[])
            for gateway, edge in zip(gateways, EDGES, strict=True)
            for post in made
        ]
        yield Office(gateways, posts, arrivals, client)


async def kill_one(at: Office, server: KafkaServer, dice: random.Random) -> None:
    """SIGKILL a child of one of the gateways, the receiving plugin, or the broker, which comes back."""
    victim = dice.choice((*CHILDREN, "broker", "plugin"))
    if victim == "broker":
        server.kill()
        await asyncio.to_thread(server.start)
    elif victim == "plugin":
        for pid in processes_of(RECEIVER):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    else:
        kill_child(dice.choice(at.gateways), victim)
