"""Looking at spools for nobody's group."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from pathlib import Path

import pytest
from tests.streams.event_log_contract import numbers
from tests.streams.support import append, open_spool

from weir_streams.events import ANALYTICS_TOPIC, EVENT_TOPICS, PROXY_LOG_TOPIC
from weir_streams.home import spool_directories
from weir_streams.log import Bounds, Partition
from weir_streams.offsets import known_groups
from weir_streams.spool_tail import SpoolTail

pytestmark = pytest.mark.usefixtures("no_keeper")

PER_FAMILY = len(EVENT_TOPICS)


def tail(root: Path) -> SpoolTail:
    return SpoolTail(root, time.monotonic)


async def test_the_bounds_reach_from_the_oldest_record_to_behind_the_newest(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    for number in range(40):
        append(spool, number, request_body="x" * 10_000)
    (directory,) = spool_directories(tmp_path)
    both = await tail(tmp_path).bounds([PROXY_LOG_TOPIC, ANALYTICS_TOPIC], 0)
    spool.close()
    everything = Bounds(1, 1 + 40 * PER_FAMILY)
    assert both == {
        Partition(topic, directory.name): everything for topic in (PROXY_LOG_TOPIC, ANALYTICS_TOPIC)
    }


async def test_an_installation_without_events_has_no_bounds(tmp_path: Path) -> None:
    assert await tail(tmp_path).bounds(EVENT_TOPICS, 0) == {}


async def test_following_begins_at_the_end_and_finds_spools_that_are_new(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    append(spool, 1)
    async with aclosing(tail(tmp_path).follow([PROXY_LOG_TOPIC], from_start=False)) as batches:
        coming = asyncio.ensure_future(anext(batches))
        number = 1
        while not coming.done():
            # When it has gone to the end is its own affair: one of these comes first, and none of the old.
            number += 1
            append(spool, number)
            await asyncio.sleep(0.01)
        assert numbers(coming.result())[0] > 1
        other = open_spool(tmp_path)
        append(other, 10_000)
        found: list[int] = []
        while 10_000 not in found:
            found += numbers(await anext(batches))
    spool.close()
    other.close()
    assert known_groups(tmp_path) == []


async def test_following_from_the_start_begins_with_the_oldest(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    for number in range(5):
        append(spool, number)
    async with aclosing(tail(tmp_path).follow([PROXY_LOG_TOPIC], from_start=True)) as batches:
        assert numbers(await anext(batches)) == [0, 1, 2, 3, 4]
    spool.close()
