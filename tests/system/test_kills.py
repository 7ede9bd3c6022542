"""Processes die at any moment by SIGKILL, and afterwards the books are right to the last event."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from pathlib import Path

import pytest
from tests.support.books import all_records, assert_streams_were_torn, check_the_books, under_load

pytestmark = [pytest.mark.crash, pytest.mark.timeout(300)]


async def test_everything_is_killed_ten_times_under_load_and_nothing_is_lost_or_doubled(
    tmp_path: Path,
) -> None:
    moments = random.Random(20261122)
    async with under_load(tmp_path) as (world, load):
        for _ in range(10):
            await asyncio.sleep(moments.uniform(0.2, 1.2))  # the random moment is the test
            await world.gateway.kill_everything()
            await world.gateway.start()
        await load.stop()
        records = await all_records(world, load)
        check_the_books(records, load, world.upstream)
    assert_streams_were_torn(records, load)


async def test_single_children_are_killed_under_load_and_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    moments = random.Random(1854)
    async with under_load(tmp_path) as (world, load):
        for _ in range(12):
            await asyncio.sleep(moments.uniform(0.1, 0.6))  # the random moment is the test
            victims = sorted(world.gateway.children())
            if victims:
                os.kill(moments.choice(victims), signal.SIGKILL)
        await load.stop()
        records = await all_records(world, load)
        check_the_books(records, load, world.upstream)
    assert_streams_were_torn(records, load)
