"""Reading a stretch again."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tests.streams.support import append, open_spool

from weir_streams.events import ANALYTICS_TOPIC, EVENT_TOPICS, PROXY_LOG_TOPIC
from weir_streams.home import spool_directories
from weir_streams.log import LogRecord, Partition
from weir_streams.offsets import known_groups
from weir_streams.reader import segment_bases
from weir_streams.segment import segment_name
from weir_streams.spool_ranges import SpoolRanges

pytestmark = pytest.mark.usefixtures("no_keeper")

FAMILIES = 40
PER_FAMILY = len(EVENT_TOPICS)


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """A directory with four segments; each family has one event of each topic."""
    spool = open_spool(tmp_path)
    for number in range(FAMILIES):
        append(spool, number, request_body="x" * 10_000)
    spool.close()
    (directory,) = spool_directories(tmp_path)
    return directory


async def read(spool: Path, topic: str, first: int, last: int) -> list[LogRecord]:
    ranges = SpoolRanges(spool.parent.parent, time.monotonic)
    partition = Partition(topic, spool.name)
    return [record async for batch in ranges.read_range(partition, first, last) for record in batch]


async def test_only_the_topic_between_the_ends_is_read_in_order(spool: Path) -> None:
    everything = await read(spool, PROXY_LOG_TOPIC, 0, 10**9)
    assert len(everything) == FAMILIES
    some = everything[7:30]
    assert await read(spool, PROXY_LOG_TOPIC, some[0].offset, some[-1].offset) == some
    analytics = await read(spool, ANALYTICS_TOPIC, some[0].offset, some[-1].offset)
    assert all(some[0].offset < record.offset < some[-1].offset for record in analytics)
    assert len(analytics) == len(some) - 1


async def test_no_group_is_left_behind(spool: Path) -> None:
    await read(spool, PROXY_LOG_TOPIC, 0, 10**9)
    assert known_groups(spool.parent.parent) == []


async def test_what_retention_removed_is_left_out(spool: Path) -> None:
    everything = await read(spool, PROXY_LOG_TOPIC, 0, 10**9)
    bases = segment_bases(spool)
    for base in bases[:2]:
        (spool / segment_name(base)).unlink()
    kept = [record for record in everything if record.offset >= bases[2]]
    assert await read(spool, PROXY_LOG_TOPIC, 0, 10**9) == kept
    assert await read(spool, PROXY_LOG_TOPIC, 0, bases[1]) == []


async def test_a_spool_that_is_gone_has_nothing(tmp_path: Path) -> None:
    assert await read(tmp_path / "spool" / "gone", PROXY_LOG_TOPIC, 0, 10**9) == []
