from __future__ import annotations

import asyncio
import time

import pytest

from weir_host.errors import PluginTimeoutError
from weir_host.invoke import call_with_deadline


@pytest.fixture
async def loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


async def forever() -> None:
    await asyncio.Event().wait()


async def test_a_call_that_never_waits_ends_in_the_same_turn(loop: asyncio.AbstractEventLoop) -> None:
    turns: list[str] = []
    loop.call_soon(turns.append, "another turn")

    async def quick() -> str:
        return "done"

    assert await call_with_deadline(quick(), loop.time() + 60, loop) == "done"
    assert not turns


async def test_a_call_that_waits_is_waited_for(loop: asyncio.AbstractEventLoop) -> None:
    async def slow() -> str:
        await asyncio.sleep(0)
        await loop.run_in_executor(None, lambda: None)
        return "done"

    assert await call_with_deadline(slow(), loop.time() + 60, loop) == "done"


@pytest.mark.parametrize("waits", [False, True])
async def test_what_it_raises_is_raised(loop: asyncio.AbstractEventLoop, waits: bool) -> None:
    async def fails() -> None:
        if waits:
            await asyncio.sleep(0)
        raise LookupError("no")

    with pytest.raises(LookupError, match="no"):
        await call_with_deadline(fails(), loop.time() + 60, loop)


async def test_a_call_that_holds_the_loop_up_past_its_deadline_is_late(
    loop: asyncio.AbstractEventLoop,
) -> None:
    async def holds_up() -> str:
        time.sleep(0.02)
        return "done"

    with pytest.raises(PluginTimeoutError, match=r"not done after (10|[0-9]) ms"):
        await call_with_deadline(holds_up(), loop.time() + 0.01, loop)


async def test_past_the_deadline_the_call_is_cancelled(loop: asyncio.AbstractEventLoop) -> None:
    seen: list[str] = []

    async def waits() -> None:
        try:
            await forever()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    with pytest.raises(PluginTimeoutError, match=r"not done after (10|[0-9]) ms"):
        await call_with_deadline(waits(), loop.time() + 0.01, loop)
    assert seen == ["cancelled"]
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_deadline_in_the_past_allows_no_waiting(loop: asyncio.AbstractEventLoop) -> None:
    with pytest.raises(PluginTimeoutError):
        await call_with_deadline(forever(), loop.time() - 1, loop)


async def test_a_timeout_of_the_plugins_own_is_not_the_deadline(loop: asyncio.AbstractEventLoop) -> None:
    async def impatient() -> None:
        async with asyncio.timeout(0):
            await forever()

    with pytest.raises(TimeoutError):
        await call_with_deadline(impatient(), loop.time() + 60, loop)


async def test_the_callers_own_cancellation_passes_through(loop: asyncio.AbstractEventLoop) -> None:
    started = asyncio.Event()

    async def waits() -> None:
        started.set()
        await forever()

    caller = asyncio.create_task(call_with_deadline(waits(), loop.time() + 60, loop))
    await started.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
