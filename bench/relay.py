"""The relay beside the bare client that sends the same bytes to the same Kafka.

The bare client has every event in memory, with its headers made; the relay reads the spool, makes the headers
and stores its progress. Both run in this process, in turns, so CPU time compares them whatever else the
machine does.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import structlog
from aiokafka import AIOKafkaProducer  # type: ignore[import-untyped]
from tests.support.servers.kafka import KafkaServer

from bench.spooled import fill_spool, read_spool
from bench.turns import Comparison, Turn, timed
from weir_core.clock import SystemClock, parse_rfc3339
from weir_streams.cloudevents import kafka_headers
from weir_streams.events import EncodedEvent
from weir_streams.kafka.publisher import Publisher
from weir_streams.kafka.relay import Relay
from weir_streams.kafka.settings import KafkaSettings, RelaySettings
from weir_streams.kafka.topics import TopicOptions, open_topic_admin, planned_topics
from weir_streams.log import LogRecord

_PARTITIONS: Final = 6
_AT_ONCE: Final = 4096


class Ready(NamedTuple):
    """An event as the bare client sends it."""

    topic: str
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]
    timestamp_ms: int


def measure(work: Path, requests: int, rounds: int) -> Comparison:
    """Start a broker, and let both send the events of so many calls, so often.

    Raises:
        ServerUnavailableError, ServerFailedError: There is no Kafka to send to.
    """
    server = KafkaServer(work / "kafka")
    server.start()
    try:
        fill_spool(work / "data", requests)
        return asyncio.run(_turns(work / "data", server.bootstrap_servers, rounds))
    finally:
        server.stop()


async def _turns(root: Path, servers: str, rounds: int) -> Comparison:
    ready = [_ready(record) for records in (await read_spool(root)).values() for record in records]
    bare, relay = [], []
    for _ in range(rounds):
        bare.append(await _timed(len(ready), partial(_send_bare, ready), servers))
        relay.append(await _timed(len(ready), partial(_send_by_relay, root), servers))
    return Comparison("relay to Kafka", bare, relay)


async def _timed(events: int, send: Callable[[KafkaSettings], Awaitable[None]], servers: str) -> Turn:
    settings = KafkaSettings(bootstrap_servers=servers, prefix=f"bench{uuid.uuid4().hex[:8]}.")
    async with open_topic_admin(settings) as admin:
        await admin.apply(planned_topics(settings, TopicOptions(partitions=_PARTITIONS)))
    return await timed(events, send(settings))


async def _send_bare(ready: Sequence[Ready], settings: KafkaSettings) -> None:
    relay = RelaySettings()
    producer = AIOKafkaProducer(
        **settings.client_options(),
        acks="all",
        enable_idempotence=True,
        compression_type=relay.compression,
        max_batch_size=relay.batch_bytes,
    )
    await producer.start()
    for start in range(0, len(ready), _AT_ONCE):
        sent = [
            await producer.send(
                settings.topic(one.topic),
                one.value,
                one.key,
                timestamp_ms=one.timestamp_ms,
                headers=one.headers,
            )
            for one in ready[start : start + _AT_ONCE]
        ]
        await asyncio.gather(*sent)
    await producer.stop()


async def _send_by_relay(root: Path, settings: KafkaSettings) -> None:
    options = RelaySettings(drain_s=600)
    relay = Relay(
        root,
        connect=partial(Publisher.open, settings, options),
        settings=options,
        clock=SystemClock(),
        logger=structlog.get_logger("weir.relay"),
        group=f"bench.{uuid.uuid4().hex}",
    )
    stop = asyncio.Event()
    stop.set()
    await relay.run(stop)


def _ready(record: LogRecord) -> Ready:
    headers = kafka_headers(EncodedEvent(record.partition.topic, record.key, record.value))
    timestamp_ms = parse_rfc3339(dict(headers)["ce_time"].decode()) // 1000
    return Ready(record.partition.topic, record.key, record.value, headers, timestamp_ms)
