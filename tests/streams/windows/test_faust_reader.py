"""Faust as a reader of a real Kafka: where it begins, and what it delivers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.streams.kafka.bench import KafkaBench, kafka_bench

from weir_streams.errors import ConsumerFailedError
from weir_streams.events import ANALYTICS_TOPIC
from weir_streams.kafka.settings import KafkaSettings
from weir_streams.log import Partition
from weir_streams.windows.faust_reader import FaustReader

pytestmark = pytest.mark.system

FIRST = Partition(ANALYTICS_TOPIC, "0")
SECOND = Partition(ANALYTICS_TOPIC, "1")


@asynccontextmanager
async def reading(
    bench: KafkaBench, scratch: Path, places: Mapping[Partition, int]
) -> AsyncIterator[FaustReader]:
    reader = FaustReader(
        bench.settings,
        group="weir.streams.test",
        instance="streams-test",
        topics=[ANALYTICS_TOPIC],
        places=lambda: places,
        scratch=scratch,
    )
    await reader.start()
    try:
        yield reader
        reader.check()
    finally:
        await reader.stop()


async def delivered(reader: FaustReader, count: int) -> dict[Partition, list[int]]:
    """Offsets by partition of the next deliveries, all acknowledged."""
    found: dict[Partition, list[int]] = {}
    for _ in range(count):
        delivery = await asyncio.wait_for(reader.deliveries.get(), 60)
        found.setdefault(delivery.record.partition, []).append(delivery.record.offset)
        delivery.done()
    return found


async def test_it_begins_where_the_windows_are_whatever_the_group_has_committed(
    kafka: str, tmp_path: Path
) -> None:
    async with kafka_bench(kafka) as bench:
        await bench.produce("a", 1, 6)
        await bench.produce("b", 1, 3)
        async with reading(bench, tmp_path, {}) as reader:
            assert await delivered(reader, 9) == {FIRST: [0, 1, 2, 3, 4, 5], SECOND: [0, 1, 2]}
        async with reading(bench, tmp_path, {FIRST: 4, SECOND: 1}) as reader:
            assert await delivered(reader, 4) == {FIRST: [4, 5], SECOND: [1, 2]}
            await bench.produce("b", 4, 1)
            assert await delivered(reader, 1) == {SECOND: [3]}


async def test_it_begins_with_what_is_kept_when_retention_has_passed_the_windows(
    kafka: str, tmp_path: Path
) -> None:
    async with kafka_bench(kafka) as bench:
        await bench.produce("a", 1, 6)
        await bench.delete_before(FIRST, 3)
        async with reading(bench, tmp_path, {FIRST: 1}) as reader:
            assert await delivered(reader, 3) == {FIRST: [3, 4, 5]}


async def test_a_kafka_that_is_not_there_is_told_as_what_a_new_process_may_mend(tmp_path: Path) -> None:
    reader = FaustReader(
        KafkaSettings(bootstrap_servers="127.0.0.1:1"),
        group="weir.streams.test",
        instance="streams-test",
        topics=[ANALYTICS_TOPIC],
        places=dict,
        scratch=tmp_path,
    )
    try:
        with pytest.raises(ConsumerFailedError, match="did not start"):
            await reader.start()
    finally:
        await reader.stop()
