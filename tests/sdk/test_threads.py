from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator, Callable

import pytest

from weir_sdk.errors import HandlerQuitError
from weir_sdk.inflight import InFlight
from weir_sdk.threads import HandlerThreads

Make = Callable[[int], HandlerThreads]


@pytest.fixture
async def inflight() -> InFlight:
    return InFlight()


@pytest.fixture
async def make(inflight: InFlight) -> AsyncIterator[Make]:
    made: list[HandlerThreads] = []

    def make_threads(limit: int) -> HandlerThreads:
        made.append(HandlerThreads("test", inflight, limit=limit))
        return made[-1]

    yield make_threads
    for threads in made:
        threads.close()


class Gate:
    """A function that blocks its thread until the test opens it."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.open = threading.Event()

    def __call__(self) -> str:
        self.entered.release()
        self.open.wait(60)
        return "passed"

    async def wait_entered(self, times: int = 1) -> None:
        for _ in range(times):
            await asyncio.to_thread(self.entered.acquire)


async def test_a_function_runs_in_a_thread_and_its_answer_comes_back(make: Make) -> None:
    name = await make(1).run(lambda suffix: threading.current_thread().name + suffix, "!")
    assert name == "test-1!"


async def test_the_loop_goes_on_meanwhile(make: Make) -> None:
    gate = Gate()
    running = asyncio.ensure_future(make(1).run(gate))
    await gate.wait_entered()
    gate.open.set()
    assert await running == "passed"


async def test_the_context_goes_with_it(make: Make) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    variable.set("here")
    assert await make(1).run(variable.get) == "here"


@pytest.mark.parametrize(
    ("raised", "seen"),
    [
        (ValueError("no"), ValueError),
        (SystemExit(3), SystemExit),
        (StopIteration(), RuntimeError),
        (asyncio.CancelledError(), HandlerQuitError),
        (KeyboardInterrupt(), HandlerQuitError),
    ],
)
async def test_what_it_raises_is_raised_and_the_thread_goes_on(
    make: Make, raised: BaseException, seen: type[BaseException]
) -> None:
    threads = make(1)

    def fails() -> None:
        raise raised

    with pytest.raises(seen):
        await threads.run(fails)
    assert await threads.run(lambda: "still here") == "still here"


async def test_no_more_run_at_a_time_than_the_limit(make: Make) -> None:
    threads, gate, seen = make(2), Gate(), set[str]()

    def note() -> None:
        gate()
        seen.add(threading.current_thread().name)

    running = [asyncio.ensure_future(threads.run(note)) for _ in range(5)]
    await gate.wait_entered(2)
    assert not gate.entered.acquire(blocking=False)
    gate.open.set()
    await asyncio.gather(*running)
    assert seen <= {"test-1", "test-2"}


async def test_a_caller_that_leaves_leaves_at_once_and_the_thread_is_counted(
    make: Make, inflight: InFlight
) -> None:
    threads, gate = make(1), Gate()
    running = asyncio.ensure_future(threads.run(gate))
    await gate.wait_entered()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert inflight.abandoned == 1
    gate.open.set()
    await inflight.idle()
    assert inflight.abandoned == 0


async def test_an_abandoned_thread_is_replaced(make: Make) -> None:
    threads, gate = make(1), Gate()
    hanging = asyncio.ensure_future(threads.run(gate))
    await gate.wait_entered()
    hanging.cancel()
    await asyncio.wait((hanging,))
    assert await threads.run(lambda: "served") == "served"
    gate.open.set()


async def test_with_as_many_hanging_as_may_run_calls_wait_for_their_deadline(make: Make) -> None:
    threads, gate = make(1), Gate()
    for _ in range(2):
        hanging = asyncio.ensure_future(threads.run(gate))
        await gate.wait_entered()
        hanging.cancel()
        await asyncio.wait((hanging,))
    calls: list[str] = []
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await threads.run(lambda: calls.append("too late"))
    gate.open.set()
    assert await threads.run(lambda: "free again") == "free again"
    assert calls == []


async def test_a_function_whose_caller_left_before_its_turn_is_never_called(
    make: Make, inflight: InFlight
) -> None:
    threads, gate, calls = make(1), Gate(), list[str]()
    first = asyncio.ensure_future(threads.run(gate))
    await gate.wait_entered()
    second = asyncio.ensure_future(threads.run(lambda: calls.append("called")))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.wait((second,))
    gate.open.set()
    await first
    await threads.run(lambda: None)
    assert calls == []
    await inflight.idle()
