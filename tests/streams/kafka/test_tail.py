"""Looking at Kafka for nobody's group."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from tests.streams.event_log_contract import numbers
from tests.streams.kafka.bench import KafkaBench, kafka_bench, kafka_settings

from weir_streams.errors import TopicMissingError
from weir_streams.events import PROXY_LOG_TOPIC
from weir_streams.kafka.tail import KafkaTail
from weir_streams.log import Bounds, Partition

pytestmark = pytest.mark.system

FIRST = Partition(PROXY_LOG_TOPIC, "0")


@pytest.fixture
async def bench(kafka: str) -> AsyncIterator[KafkaBench]:
    async with kafka_bench(kafka) as bench:
        await bench.produce("a", 0, 10)
        yield bench


async def test_the_bounds_leave_out_partitions_where_nothing_has_happened_since(bench: KafkaBench) -> None:
    tail = KafkaTail(bench.settings)
    assert await tail.bounds([PROXY_LOG_TOPIC], 0) == {FIRST: Bounds(0, 10)}
    assert await tail.bounds([PROXY_LOG_TOPIC], 2**52) == {}


async def test_following_from_the_start_goes_on_with_what_comes(bench: KafkaBench) -> None:
    async with aclosing(KafkaTail(bench.settings).follow([PROXY_LOG_TOPIC], from_start=True)) as batches:
        found: list[int] = []
        while len(found) < 10:
            found += numbers(await anext(batches))
        coming = asyncio.ensure_future(anext(batches))
        await bench.produce("a", 10, 1)
        found += numbers(await coming)
    assert found == list(range(11))


async def test_following_begins_at_the_end(bench: KafkaBench) -> None:
    async with aclosing(KafkaTail(bench.settings).follow([PROXY_LOG_TOPIC], from_start=False)) as batches:
        coming = asyncio.ensure_future(anext(batches))
        number = 10
        while not coming.done():
            # When it has gone to the end is its own affair: one of these comes first, and none of the old.
            await bench.produce("a", number, 1)
            number += 1
        first = numbers(coming.result())[0]
    assert first >= 10


async def test_a_missing_topic_is_named(kafka: str) -> None:
    settings = kafka_settings(kafka)
    with pytest.raises(TopicMissingError, match=settings.topic(PROXY_LOG_TOPIC)):
        await KafkaTail(settings).bounds([PROXY_LOG_TOPIC], 0)
