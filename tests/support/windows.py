"""``weir streams`` as a process to be killed, and what it has left on its topics."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer
from tests.support.roles import RoleProcess

from weir_streams.kafka.settings import KafkaSettings


@asynccontextmanager
async def streams_process(data_dir: Path, **settings: str) -> AsyncIterator[RoleProcess]:
    """A started one that is gone afterwards."""
    process = RoleProcess("streams", data_dir, **settings)
    await process.start()
    try:
        yield process
    finally:
        await process.kill()


async def messages(settings: KafkaSettings, topic: str) -> list[tuple[str, dict[str, Any] | None]]:
    """Every key and value of a topic of one partition, in order."""
    consumer = AIOKafkaConsumer(
        settings.topic(topic), bootstrap_servers=settings.bootstrap_servers, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        [(place, end)] = (await consumer.end_offsets(consumer.assignment())).items()
        found: list[tuple[str, dict[str, Any] | None]] = []
        while await consumer.position(place) < end:
            for record in (await consumer.getmany(timeout_ms=1000)).get(place, ()):
                value = None if record.value is None else msgspec.json.decode(record.value)
                found.append((record.key.decode(), value))
        return found
    finally:
        await consumer.stop()


async def windows(settings: KafkaSettings) -> dict[str, dict[str, Any]]:
    """The last value of each window's key, without those that were taken out."""
    latest = dict(await messages(settings, "weir.spend.v1"))
    return {key: value for key, value in latest.items() if value is not None}
