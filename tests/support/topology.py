"""A whole installation on real servers, every process of which can be killed and comes back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.streams.kafka.bench import kafka_settings
from tests.support.gateway import Gateway
from tests.support.roles import RoleProcess
from tests.support.servers.elasticsearch import ElasticsearchServer
from tests.support.servers.kafka import KafkaServer
from tests.support.servers.postgres import PostgresServer
from tests.support.world import PLUGINS, World, open_world

from weir_cli.mock_upstream.process import RunningMock
from weir_control.migrations import upgrade
from weir_core.secrets import KeyRing
from weir_streams.kafka.topics import TopicOptions, open_topic_admin, planned_topics

SERVERS: Final = ("kafka", "elasticsearch", "postgres")
CHILDREN: Final = ("proxy-1", "proxy-2", "relay", "collectors", "control")


@dataclass(frozen=True)
class Topology:
    """``weir serve`` with two proxies, a ``weir collect`` beside it, and what they keep their events in."""

    world: World
    worker: RoleProcess
    kafka: KafkaServer
    elasticsearch: ElasticsearchServer
    postgres: PostgresServer

    @property
    def gateway(self) -> Gateway:
        return self.world.gateway

    async def kill(self, victim: str, outage_s: float) -> None:
        """SIGKILL one of ``SERVERS``, ``CHILDREN`` or ``worker``, and see that it comes back.

        Servers are away for so long before they are started again; the supervisor decides that of its
        children. Returns when a server serves again, and at once for all others.
        """
        if victim in SERVERS:
            server: Any = getattr(self, victim)
            await asyncio.to_thread(server.kill)
            await asyncio.sleep(outage_s)
            await asyncio.to_thread(server.start)
        elif victim == "worker":
            await self.worker.kill()
            await self.worker.start()
        else:
            kill_child(self.gateway, victim)


def kill_child(gateway: Gateway, name: str) -> None:
    """SIGKILL the children of a gateway whose names begin so; there is none while it is being restarted."""
    for pid, command in gateway.children().items():
        if f"weir_cli.child {name}" in command:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@asynccontextmanager
async def topology(directory: Path, upstream: RunningMock) -> AsyncIterator[Topology]:
    """All of it, running, with the tables and topics made, and gone afterwards."""
    servers = (
        KafkaServer(directory / "kafka"),
        ElasticsearchServer(directory / "elasticsearch"),
        PostgresServer(),
    )
    kafka, elasticsearch, postgres = servers
    async with AsyncExitStack() as opened:
        for server in servers:
            opened.callback(server.stop)
        await asyncio.gather(*map(asyncio.to_thread, _starts(*servers)))
        settings = kafka_settings(kafka.bootstrap_servers)
        async with open_topic_admin(settings) as admin:
            await admin.apply(planned_topics(settings, TopicOptions(partitions=2)))
        await upgrade(postgres.url())
        shared = {
            "kafka_bootstrap_servers": settings.bootstrap_servers,
            "kafka_prefix": settings.prefix,
            "database_url": postgres.url(),
            "encryption_keys": KeyRing.generate_key(),
        }
        data_dir = directory / "data"
        world = await opened.enter_async_context(open_world(data_dir, upstream, workers="2", **shared))
        worker = RoleProcess("collect", data_dir, plugin_path=PLUGINS, **shared)
        opened.push_async_callback(worker.kill)
        await worker.start()
        await worker.ready()
        yield Topology(world, worker, kafka, elasticsearch, postgres)


def _starts(*servers: KafkaServer | ElasticsearchServer | PostgresServer) -> list[Callable[[], None]]:
    return [server.start for server in servers]
