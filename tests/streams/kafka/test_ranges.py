"""Reading a stretch of a partition again."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.streams.event_log_contract import numbers
from tests.streams.kafka.bench import KafkaBench, kafka_bench, kafka_settings

from weir_streams.errors import TopicMissingError
from weir_streams.events import PROXY_LOG_TOPIC
from weir_streams.kafka.ranges import KafkaRanges
from weir_streams.log import LogRecord, Partition

pytestmark = pytest.mark.system

FIRST = Partition(PROXY_LOG_TOPIC, "0")


@pytest.fixture
async def bench(kafka: str) -> AsyncIterator[KafkaBench]:
    async with kafka_bench(kafka) as bench:
        await bench.produce("a", 0, 10)
        yield bench


async def read(bench: KafkaBench, first: int, last: int) -> list[LogRecord]:
    ranges = KafkaRanges(bench.settings).read_range(FIRST, first, last)
    return [record async for batch in ranges for record in batch]


async def test_both_ends_are_included(bench: KafkaBench) -> None:
    records = await read(bench, 3, 6)
    assert numbers(records) == [3, 4, 5, 6]
    assert {record.partition for record in records} == {FIRST}


async def test_a_range_ends_where_the_partition_does(bench: KafkaBench) -> None:
    assert numbers(await read(bench, 8, 10**6)) == [8, 9]
    assert await read(bench, 10, 10**6) == []


async def test_what_is_not_kept_any_more_is_left_out(bench: KafkaBench) -> None:
    await bench.delete_before(FIRST, 5)
    assert numbers(await read(bench, 0, 6)) == [5, 6]
    assert await read(bench, 0, 3) == []


async def test_a_missing_topic_is_named(kafka: str) -> None:
    ranges = KafkaRanges(kafka_settings(kafka)).read_range(FIRST, 0, 1)
    with pytest.raises(TopicMissingError, match="run weir topics apply"):
        await anext(ranges)
