"""Kills with plugins in processes of their own: the books stay right, plugins come back, nothing stays behind."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
from tests.support.books import all_records, assert_streams_were_torn, check_the_books, under_load
from tests.support.gateway import eventually
from tests.support.watcher import Watcher, kill

pytestmark = [pytest.mark.crash, pytest.mark.timeout(300)]


def sockets(run_dir: Path) -> list[str]:
    return [path.name for path in run_dir.rglob("*") if path.is_socket() or "weir-plugin" in path.name]


async def sockets_are(run_dir: Path, count: int) -> None:
    """Wait until whoever clears away behind the killed has done so."""

    async def so_many() -> bool:
        return len(sockets(run_dir)) == count

    await eventually(so_many, f"{count} sockets and directories are in {run_dir}", within_s=90)


async def test_whatever_is_killed_the_books_are_right_and_the_plugin_comes_back(
    tmp_path: Path, run_dir: Path
) -> None:
    moments = random.Random(1889)
    async with under_load(tmp_path) as (world, load):
        watcher = Watcher(world, tmp_path)
        await watcher.install()
        for turn in range(16):
            await asyncio.sleep(moments.uniform(0.1, 0.8))  # the random moment is the test
            if turn % 5 == 4:
                await world.gateway.kill_everything()
                await watcher.are(0)
                await sockets_are(run_dir, 0)
                await world.gateway.start()
            else:
                kill(moments.choice([*world.gateway.children(), *watcher.pids(), *watcher.pids()]))
        await watcher.serves()
        await load.stop()
        records = await all_records(world, load)
        check_the_books(records, load, world.upstream)
        assert_streams_were_torn(records, load)
        await watcher.are(3)  # in two workers and with the collectors
        assert set(watcher.notes.read_text().split()) & {log["event_id"] for log in records["proxy-logs"]}
        assert await world.gateway.stop() == 0
        assert watcher.pids() == []
        assert sockets(run_dir) == []
