"""A loop that stands still is noticed, one that turns is left alone."""

from __future__ import annotations

import asyncio
import threading

from tests.streams.support import RecordingLogger

from weir_cli.loop_watch import watched_loop

STALL_S = 0.4


async def test_a_loop_that_stands_still_ends_its_process_and_says_where_it_stands() -> None:
    logger, ended = RecordingLogger(), threading.Event()
    with watched_loop(STALL_S, logger, ended.set):  # type: ignore[arg-type]
        hang(ended)
    [said] = logger.named("the event loop stands still; this process is ended so that another serves")
    assert "in hang" in said["where"]


def hang(until: threading.Event) -> None:
    assert until.wait(30)


async def test_a_loop_that_turns_is_left_alone_however_busy_it_is() -> None:
    logger, ended = RecordingLogger(), threading.Event()
    loop = asyncio.get_running_loop()
    with watched_loop(STALL_S, logger, ended.set):  # type: ignore[arg-type]
        until = loop.time() + 3 * STALL_S
        while loop.time() < until:
            await asyncio.sleep(0)
    assert not ended.is_set()


async def test_a_loop_may_stand_still_once_nobody_watches_it() -> None:
    logger, ended = RecordingLogger(), threading.Event()
    with watched_loop(STALL_S, logger, ended.set):  # type: ignore[arg-type]
        pass
    assert not ended.wait(3 * STALL_S)
    with watched_loop(0, logger, ended.set):  # type: ignore[arg-type]
        assert not ended.wait(3 * STALL_S)
