"""A partition without a leader for longer than the client waits: its sequence breaks, nothing is lost."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

import msgspec
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from tests.streams.kafka.bench import kafka_settings
from tests.streams.support import RecordingLogger, all_events, append, open_spool
from tests.support.kafka_topics import arrived
from tests.support.servers.kafka import KafkaServer

from weir_core.clock import SystemClock
from weir_streams.events import EVENT_TOPICS, PROXY_LOG_TOPIC
from weir_streams.kafka.publisher import Publisher
from weir_streams.kafka.relay import Relay
from weir_streams.kafka.settings import KafkaSettings, RelaySettings

pytestmark = [pytest.mark.system, pytest.mark.crash]

ALWAYS_THERE, KILLED = 1, 2


async def make_topics(settings: KafkaSettings) -> None:
    """The proxy logs live on the broker that is killed, everything else on the other."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    await admin.start()
    for topic in EVENT_TOPICS:
        broker = KILLED if topic == PROXY_LOG_TOPIC else ALWAYS_THERE
        await admin.create_topics(
            [NewTopic(settings.topic(topic), -1, -1, replica_assignments={0: [broker]})]
        )
    await admin.close()


@pytest.mark.usefixtures("kafka_programs")
async def test_a_partition_without_a_leader_holds_events_back_and_loses_none(tmp_path: Path) -> None:
    server = KafkaServer(tmp_path / "kafka", brokers=2)
    with ExitStack() as stack:
        stack.callback(server.stop)
        await asyncio.to_thread(server.start)
        settings = kafka_settings(server.bootstrap_servers, request_timeout_s=1.0)
        await make_topics(settings)
        options = RelaySettings(commit_s=0.01, drain_s=60)
        relay = Relay(
            tmp_path / "data",
            connect=partial(Publisher.open, settings, options),
            settings=options,
            clock=SystemClock(),
            logger=RecordingLogger(),
        )
        stop = asyncio.Event()
        relaying = asyncio.create_task(relay.run(stop))
        spool = stack.enter_context(closing(open_spool(tmp_path / "data")))
        for number in range(100):
            append(spool, number)
        while relay.status.sent_events < 300:
            await asyncio.sleep(0.01)
        server.kill(KILLED)
        while relay.status.deliveries_failed < 2:
            append(spool, number := number + 1)
            await asyncio.sleep(0.01)
        await asyncio.to_thread(server.start)
        append(spool, number + 1)
        stop.set()
        assert await relaying == 0
        records = await arrived(msgspec.structs.replace(settings, request_timeout_s=30.0))
    written = {event["event_id"] for event in all_events(tmp_path / "data")}
    assert {record.event["event_id"] for record in records} == written
    logs = [record.event["spool_seq"] for record in records if record.topic == PROXY_LOG_TOPIC]
    first_arrivals = list(Counter(logs))
    assert first_arrivals == sorted(first_arrivals)
