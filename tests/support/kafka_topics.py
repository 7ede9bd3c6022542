"""What stands in the event topics of a real Kafka."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from weir_streams.events import EVENT_TOPICS
from weir_streams.kafka.settings import KafkaSettings


class Arrived(NamedTuple):
    """One record as Kafka has it."""

    topic: str
    partition: int
    key: bytes
    event: dict[str, Any]
    headers: dict[str, str]
    timestamp_ms: int


async def arrived(settings: KafkaSettings, topics: Sequence[str] = EVENT_TOPICS) -> list[Arrived]:
    """Everything in the event topics, or in others, in order per partition."""
    consumer = AIOKafkaConsumer(
        *(settings.topic(topic) for topic in topics),
        bootstrap_servers=settings.bootstrap_servers,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        ends = await consumer.end_offsets(consumer.assignment())
        records: list[Arrived] = []
        while any([await consumer.position(place) < end for place, end in ends.items()]):
            for place, batch in (await consumer.getmany(timeout_ms=1000)).items():
                records += [_read(settings, place, record) for record in batch]
        return records
    finally:
        await consumer.stop()


def _read(settings: KafkaSettings, place: TopicPartition, record: Any) -> Arrived:
    return Arrived(
        settings.own_name(place.topic),
        place.partition,
        record.key,
        msgspec.json.decode(record.value),
        {name: value.decode() for name, value in record.headers},
        record.timestamp,
    )
