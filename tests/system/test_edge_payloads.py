"""Payloads from the edge to control through a gateway whose processes die: each arrives, in order."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.support.gateway import Gateway, eventually
from tests.support.payload_office import BATCH, Post, office
from tests.support.topology import kill_child
from tests.system.test_kafka_gateway import applied, kafka_options


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
                return sent is not None and sent <= 2 * BATCH

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
        async with asyncio.TaskGroup() as load:
            for post in at.posts:
                load.create_task(post.keep_sending(at.client, stop))
            for victim in victims:
                await asyncio.sleep(moments.uniform(0.5, 1.5))  # the random moment is the test
                await kill(at.gateway, victim)
            stop.set()
        await at.check_the_books()
        assert all(len(post.sent) > 500 for post in at.posts)


async def kill(gateway: Gateway, victim: str) -> None:
    if victim == "everything":
        await gateway.kill_everything()
        await gateway.start()
    else:
        kill_child(gateway, victim)
