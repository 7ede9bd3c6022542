from __future__ import annotations

import asyncio
import contextvars
import gc
import sys
from collections.abc import AsyncIterator

import pytest

from weir_host.tasks import HandlerTasks
from weir_sdk.errors import HandlerQuitError
from weir_sdk.inflight import InFlight

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


@pytest.fixture
async def inflight() -> InFlight:
    return InFlight()


@pytest.fixture
async def tasks(inflight: InFlight) -> AsyncIterator[HandlerTasks]:
    tasks = HandlerTasks(inflight, cancel_grace_s=0.01)
    yield tasks
    tasks.close()


def this_task() -> asyncio.Task[object]:
    task = asyncio.current_task()
    assert task is not None
    return task


async def forever() -> None:
    await asyncio.Event().wait()


async def test_a_handler_that_never_waits_ends_in_its_callers_turn(
    tasks: HandlerTasks, inflight: InFlight
) -> None:
    turns: list[str] = []
    asyncio.get_running_loop().call_soon(turns.append, "another turn")

    async def quick() -> str:
        return "done"

    assert await tasks.run(quick()) == "done"
    assert not turns


async def test_a_handler_has_one_task_of_its_own_from_first_to_last(tasks: HandlerTasks) -> None:
    caller, seen = this_task(), []

    async def handler() -> None:
        seen.append(this_task())
        await asyncio.sleep(0)
        seen.append(this_task())

    await tasks.run(handler())
    assert seen[0] is seen[1]
    assert seen[0] is not caller
    assert this_task() is caller


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize(
    ("raised", "seen"),
    [
        (ValueError("no"), ValueError),
        (asyncio.CancelledError(), HandlerQuitError),
    ],
)
async def test_what_it_raises_is_raised_but_never_as_the_callers_cancellation(
    tasks: HandlerTasks, waits: bool, raised: BaseException, seen: type[BaseException]
) -> None:
    async def fails() -> None:
        if waits:
            await asyncio.sleep(0)
        raise raised

    with pytest.raises(seen):
        await tasks.run(fails())
    assert this_task().cancelling() == 0


async def test_an_exit_does_not_reach_the_event_loop(tasks: HandlerTasks) -> None:
    async def leaves() -> None:
        await asyncio.sleep(0)
        sys.exit(3)

    with pytest.raises(HandlerQuitError, match=r"sys\.exit\(3\)"):
        await tasks.run(leaves())


async def test_an_exit_while_it_is_cancelled_does_not_either(tasks: HandlerTasks, inflight: InFlight) -> None:
    async def leaves() -> None:
        try:
            await forever()
        finally:
            sys.exit(3)

    running = asyncio.ensure_future(tasks.run(leaves()))
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait((running,))
    await inflight.idle()


async def test_a_timeout_inside_a_handler_works(tasks: HandlerTasks) -> None:
    async def impatient() -> str:
        try:
            async with asyncio.timeout(0.001):
                await forever()
        except TimeoutError:
            return "gave up"
        return "never"

    assert await tasks.run(impatient()) == "gave up"


async def test_a_task_group_inside_a_handler_works(tasks: HandlerTasks) -> None:
    async def fails() -> None:
        raise ValueError("child")

    async def parent() -> str:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(forever())
                group.create_task(fails())
        except ExceptionGroup as errors:
            return str(errors.exceptions[0])
        return "never"

    assert await tasks.run(parent()) == "child"


async def test_the_callers_cancellation_ends_the_call_and_cancels_the_handler(
    tasks: HandlerTasks, inflight: InFlight
) -> None:
    seen: list[str] = []

    async def cleans_up() -> None:
        try:
            await forever()
        finally:
            await asyncio.sleep(0)
            seen.append("cleaned up")

    running = asyncio.ensure_future(tasks.run(cleans_up()))
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await inflight.idle()
    assert seen == ["cleaned up"]


async def test_a_handler_cancelled_before_its_task_has_run_is_cancelled_where_it_waits(
    tasks: HandlerTasks, inflight: InFlight
) -> None:
    seen: list[str] = []

    async def waits() -> None:
        try:
            await forever()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    call = tasks.run(waits())
    call.send(None)  # the handler waits now, and its task has not had a turn
    with pytest.raises(asyncio.CancelledError):
        call.throw(asyncio.CancelledError())
    await inflight.idle()
    assert seen == ["cancelled"]


async def test_a_handler_that_swallows_its_cancellation_does_not_hold_its_caller(
    tasks: HandlerTasks, inflight: InFlight
) -> None:
    seen: list[str] = []

    async def stubborn() -> None:
        try:
            while True:
                try:
                    await forever()
                except asyncio.CancelledError:
                    seen.append("swallowed")
        finally:
            seen.append("closed")

    running = asyncio.ensure_future(tasks.run(stubborn()))
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert inflight.abandoned == 1
    await inflight.idle()
    assert seen == ["swallowed", "closed"]
    assert inflight.abandoned == 0


async def test_a_timeout_left_behind_by_an_abandoned_handler_does_not_hit_its_caller(
    tasks: HandlerTasks, inflight: InFlight
) -> None:
    async def stubborn() -> None:
        async with asyncio.timeout(0.002):
            try:
                await forever()
            except asyncio.CancelledError:
                await forever()

    async def caller() -> str:
        try:
            async with asyncio.timeout(0.001):
                await tasks.run(stubborn())
        except TimeoutError:
            await inflight.idle()
            return "unharmed"
        return "never"

    assert await asyncio.create_task(caller()) == "unharmed"


async def test_a_handler_that_cannot_be_closed_is_reported(tasks: HandlerTasks, inflight: InFlight) -> None:
    reports: list[dict[str, object]] = []
    reported = asyncio.Event()

    def note(_: object, report: dict[str, object]) -> None:
        reports.append(report)
        reported.set()

    asyncio.get_running_loop().set_exception_handler(note)
    release = asyncio.Event()

    async def immortal() -> None:
        for _ in range(3):
            try:
                await release.wait()
            except BaseException:  # noqa: BLE001 - the worst that a plugin can do
                continue

    running = asyncio.ensure_future(tasks.run(immortal()))
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait((running,))
    await reported.wait()
    assert reports[0]["message"] == "an abandoned plugin handler could not be closed: it raised RuntimeError"
    assert "exception" not in reports[0]
    release.set()
    await inflight.idle()


async def test_context_variables_reach_the_handler_and_stay_there(tasks: HandlerTasks) -> None:
    VARIABLE.set("caller")

    async def handler(waits: bool) -> tuple[str, str]:
        before = VARIABLE.get()
        token = VARIABLE.set("handler")
        if waits:
            await asyncio.sleep(0)
        inside = VARIABLE.get()
        if waits:
            VARIABLE.reset(token)
        return before, inside

    for waits in (False, True, False):
        assert await tasks.run(handler(waits)) == ("caller", "handler")
        assert VARIABLE.get() == "caller"


async def test_a_cancellation_that_a_handler_left_behind_does_not_hit_the_next(tasks: HandlerTasks) -> None:
    async def poisons() -> None:
        this_task().cancel()

    async def waits() -> str:
        await asyncio.sleep(0)
        return "unharmed"

    await tasks.run(poisons())
    assert await tasks.run(waits()) == "unharmed"


async def test_many_handlers_wait_at_a_time(tasks: HandlerTasks) -> None:
    release = asyncio.Event()

    async def waits(number: int) -> int:
        await release.wait()
        return number

    running = [asyncio.ensure_future(tasks.run(waits(number))) for number in range(20)]
    await asyncio.sleep(0)
    release.set()
    assert await asyncio.gather(*running) == list(range(20))


async def test_closing_leaves_no_task_behind(inflight: InFlight) -> None:
    before = asyncio.all_tasks()
    tasks = HandlerTasks(inflight, cancel_grace_s=0.01)

    async def quick() -> None: ...

    await tasks.run(quick())
    tasks.close()
    while asyncio.all_tasks() != before:
        await asyncio.sleep(0)
    gc.collect()
