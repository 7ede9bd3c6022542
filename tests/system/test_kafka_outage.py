"""Kafka is away for minutes, or a partition has no leader: requests are as quick as before, and nothing is lost.

How quick is measured beside a gateway without Kafka that is asked in the same moments, so that whatever else
the machine does hits both. ``WEIR_TEST_OUTAGE_SECONDS`` makes each window longer.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from tests.streams.kafka.bench import kafka_settings
from tests.support.gateway import eventually
from tests.support.records import KINDS
from tests.support.servers.kafka import KafkaServer
from tests.support.side_by_side import Window, side_by_side
from tests.support.world import World, open_world
from tests.system.test_kafka_gateway import kafka_options

from weir_cli.mock_upstream.process import running
from weir_streams.events import PROXY_LOG_TOPIC
from weir_streams.kafka.settings import KafkaSettings
from weir_streams.kafka.topics import TopicOptions, open_topic_admin, planned_topics

WINDOW_S = float(os.environ.get("WEIR_TEST_OUTAGE_SECONDS", "6"))

pytestmark = [
    pytest.mark.system,
    pytest.mark.crash,
    pytest.mark.timeout(300 + 20 * WINDOW_S),
    pytest.mark.usefixtures("kafka_programs"),
]

OUTAGES = {"no leader": (2,), "no broker": (1, 2)}
# A busy machine can make any one comparison wrong; a gateway that waits for Kafka makes all of them so.
ROUNDS = 3
MOST = 1.2


@dataclass
class Pair:
    """Two gateways that are asked by turns, one with its events on Kafka and one without."""

    with_kafka: World
    without: World
    answered: list[str]

    async def window(self, seconds: float) -> Window:
        """Ask for so long, and measure each call."""
        return await side_by_side(self.with_kafka, self.without, self.answered, at_least_s=seconds)


@asynccontextmanager
async def pair(tmp_path: Path, settings: KafkaSettings) -> AsyncIterator[Pair]:
    async with AsyncExitStack() as opened:
        upstream = opened.enter_context(running(tmp_path / "calls.jsonl"))
        with_kafka = await opened.enter_async_context(
            open_world(tmp_path / "kafka-data", upstream, **kafka_options(settings))
        )
        without = await opened.enter_async_context(open_world(tmp_path / "data", upstream))
        yield Pair(with_kafka, without, [])


async def make_topics(settings: KafkaSettings) -> None:
    """The second broker alone has the proxy logs, so that without it they have no leader."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    await admin.start()
    places = {0: [2], 1: [2]}
    await admin.create_topics([NewTopic(settings.topic(PROXY_LOG_TOPIC), -1, -1, replica_assignments=places)])
    await admin.close()
    async with open_topic_admin(settings) as admin:
        await admin.apply(planned_topics(settings, TopicOptions(partitions=2)))


async def test_while_kafka_is_away_requests_are_as_quick_as_before_and_no_event_is_lost(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    async with AsyncExitStack() as opened:
        server = KafkaServer(tmp_path / "kafka", brokers=2)
        opened.callback(server.stop)
        await asyncio.to_thread(server.start)
        settings = kafka_settings(server.bootstrap_servers)
        await make_topics(settings)
        at = await opened.enter_async_context(pair(tmp_path, settings))
        await at.window(2.0)  # the first calls are slower
        for what, brokers in OUTAGES.items():
            ratios = []
            while not ratios or (min(ratios) > MOST and len(ratios) < ROUNDS):
                before = await at.window(WINDOW_S)
                during = await outage(at, server, brokers)
                ratios.append(during.ratio / before.ratio)
                said = f"before: {before}; during: {during}; ratio {ratios[-1]:.2f}"
                record_property(f"{what}, round {len(ratios)}", said)
            assert min(ratios) <= MOST, f"requests were slower while there was {what}, {ROUNDS} times"
        await check_the_books(at)


async def outage(at: Pair, server: KafkaServer, brokers: tuple[int, ...]) -> Window:
    """Measure while these brokers are away."""
    for broker in brokers:
        server.kill(broker)
    during = await at.window(WINDOW_S)
    assert (await at.with_kafka.gateway.api.get("/ready")).status_code == 200
    await asyncio.to_thread(server.start)
    return during


async def check_the_books(at: Pair) -> None:
    """Each answer is recorded once, and nothing else is."""

    async def summed_up() -> bool:
        query = {"group_by": "llm"}
        answer = await at.with_kafka.gateway.api.get("/api/v1/analytics/summary", params=query)
        return sum(group["requests"] for group in answer.json()["data"]) >= len(at.answered)

    await eventually(summed_up, "every call is in the summary", within_s=60 + WINDOW_S)
    for kind in KINDS:
        found = await at.with_kafka.gateway.recorded(kind, len(at.answered), within_s=150)
        assert Counter(record["request_id"] for record in found) == Counter(at.answered)
