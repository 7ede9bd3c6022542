"""A real Kafka under the event log's contract: topics of the test's own, and families put into them."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from tests.streams.event_log_contract import LogBench
from tests.streams.support import RecordingLogger, family

from weir_core.clock import SystemClock
from weir_streams.events import EVENT_TOPICS, encode
from weir_streams.kafka.consumer import KafkaConsumer
from weir_streams.kafka.event_log import KafkaEventLog
from weir_streams.kafka.settings import KafkaSettings
from weir_streams.log import Consumer, Partition

PARTITIONS = 2


class KafkaBench(LogBench):
    """A prefix in a shared cluster; each writer has a partition of its own."""

    def __init__(self, settings: KafkaSettings, producer: AIOKafkaProducer, instance: str | None) -> None:
        self.settings = settings
        self.logger = RecordingLogger()
        self.log = KafkaEventLog(settings, clock=SystemClock(), logger=self.logger, instance=instance)
        self._producer = producer
        self._writers: dict[str, int] = {}

    async def produce(self, writer: str, first: int, count: int) -> None:
        partition = self._writers.setdefault(writer, len(self._writers) % PARTITIONS)
        for number in range(first, first + count):
            for event in map(encode, family(number)):
                topic = self.settings.topic(event.topic)
                await self._producer.send_and_wait(topic, event.value, event.key, partition=partition)

    async def crash(self, consumer: Consumer) -> None:
        assert isinstance(consumer, KafkaConsumer)
        await consumer.close()

    def handing_over(self, consumer: KafkaConsumer) -> bool:
        """Whether a rebalance waits for what the consumer has in hand."""
        return not consumer._assigned.is_set()

    async def delete_before(self, partition: Partition, offset: int) -> None:
        """Let Kafka forget a partition's records, as retention would."""
        async with admin_client(self.settings) as admin:
            topic = TopicPartition(self.settings.topic(partition.topic), int(partition.name))
            await admin.delete_records({topic: RecordsToDelete(before_offset=offset)})


def kafka_settings(bootstrap_servers: str, **changes: Any) -> KafkaSettings:
    """Quick ones, under a prefix that nobody else uses."""
    quick: Mapping[str, Any] = {
        "prefix": f"t{uuid.uuid4().hex[:12]}.",
        "session_timeout_s": 6.0,
        "handover_s": 0.2,
        "metadata_age_s": 1.0,
    }
    return KafkaSettings(bootstrap_servers=bootstrap_servers, **{**quick, **changes})


async def make_topics(
    settings: KafkaSettings,
    partitions: int = PARTITIONS,
    topics: Sequence[str] = EVENT_TOPICS,
    **configs: str,
) -> None:
    """The event topics, or others, empty."""
    async with admin_client(settings) as admin:
        await admin.create_topics(
            [
                NewTopic(settings.topic(topic), partitions, 1, topic_configs=configs or None)
                for topic in topics
            ]
        )


@asynccontextmanager
async def admin_client(settings: KafkaSettings) -> AsyncIterator[AIOKafkaAdminClient]:
    """The library's own, connected."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


@asynccontextmanager
async def kafka_bench(
    bootstrap_servers: str, instance: str | None = None, **changes: Any
) -> AsyncIterator[KafkaBench]:
    """A bench whose topics are there and empty."""
    settings = kafka_settings(bootstrap_servers, **changes)
    await make_topics(settings)
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers, acks="all")
    await producer.start()
    try:
        yield KafkaBench(settings, producer, instance)
    finally:
        await producer.stop()
