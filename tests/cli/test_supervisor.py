from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from weir_cli.processes import Command
from weir_cli.stopping import StopSignal
from weir_cli.supervisor import ChildPlan, Supervisor


def plan(name: str, stop_order: int = 0, grace_s: float = 30.0) -> ChildPlan:
    return ChildPlan(name, Command((name,), b"", {}), stop_order, grace_s)


class Running:
    """A supervisor at work on fakes."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.stop = StopSignal()
        self.task = asyncio.create_task(supervisor.run(self.stop))


@pytest.fixture
async def start(spawner: Any, fake_time: Any, logger: Any, settled: Any) -> AsyncIterator[Any]:
    running: list[Running] = []
    dead: list[int] = []

    async def begin(*plans: ChildPlan) -> Running:
        supervisor = Supervisor(
            plans,
            spawn=spawner,
            clock=fake_time,
            sleep=fake_time.sleep,
            logger=logger,
            on_exit=dead.append,
        )
        running.append(Running(supervisor))
        running[-1].dead = dead  # type: ignore[attr-defined]
        await settled()
        return running[-1]

    yield begin
    for item in running:
        item.task.cancel()
        await asyncio.gather(item.task, return_exceptions=True)


async def test_all_children_are_started_at_once(start: Any, spawner: Any) -> None:
    await start(plan("proxy-1"), plan("proxy-2"), plan("control"))
    assert sorted(spawner.started) == ["control", "proxy-1", "proxy-2"]


async def test_a_child_that_dies_is_started_again_after_the_first_short_delay(
    start: Any, spawner: Any, fake_time: Any
) -> None:
    running = await start(plan("proxy-1"), plan("control"))
    first = spawner.current("proxy-1")
    first.end(-9)
    await fake_time.advance(0.09)
    assert len(spawner.started["proxy-1"]) == 1
    await fake_time.advance(0.02)
    assert len(spawner.started["proxy-1"]) == 2
    assert len(spawner.started["control"]) == 1
    assert running.dead == [first.pid]


async def test_a_child_that_cannot_be_started_is_tried_again(
    start: Any, spawner: Any, fake_time: Any, log: Any
) -> None:
    spawner.failures = [OSError(11, "Resource temporarily unavailable")]
    await start(plan("proxy-1"))
    assert spawner.started == {}
    await fake_time.advance(0.1)
    assert len(spawner.started["proxy-1"]) == 1
    assert "could not be started" in log.calls[0].kwargs["ending"]


async def test_each_death_is_logged_with_the_child_and_how_it_ended(
    start: Any, spawner: Any, log: Any, settled: Any
) -> None:
    await start(plan("control"))
    spawner.current("control").end(3)
    await settled()
    told = log.calls[-1]
    assert (told.method_name, told.kwargs["child"], told.kwargs["ending"]) == (
        "error",
        "control",
        "exit code 3",
    )


async def test_children_are_stopped_in_order_and_a_later_stage_waits_for_the_earlier(
    start: Any, spawner: Any, settled: Any
) -> None:
    spawner.on_terminate = {"proxy-1": None}
    running = await start(plan("control", 2), plan("proxy-1", 0), plan("collectors", 1))
    running.stop.request()
    await settled()
    assert spawner.current("proxy-1").signals == ["TERM"]
    assert spawner.current("collectors").signals == []
    spawner.current("proxy-1").end(0)
    await settled()
    assert spawner.current("collectors").signals == ["TERM"]
    assert spawner.current("control").signals == ["TERM"]
    assert await running.task == []


async def test_a_child_that_outlives_its_grace_is_killed_and_named(
    start: Any, spawner: Any, fake_time: Any
) -> None:
    spawner.on_terminate = {"proxy-1": None}
    running = await start(plan("proxy-1", grace_s=30.0), plan("control", 1))
    running.stop.request()
    await fake_time.advance(29.0)
    assert spawner.current("proxy-1").signals == ["TERM"]
    await fake_time.advance(1.0)
    assert spawner.current("proxy-1").signals == ["TERM", "KILL"]
    assert await running.task == ["proxy-1 ended with signal 9"]


async def test_a_second_request_to_stop_ends_the_grace_early(
    start: Any, spawner: Any, fake_time: Any, settled: Any
) -> None:
    spawner.on_terminate = {"proxy-1": None, "control": None}
    running = await start(plan("proxy-1"), plan("control", 1))
    running.stop.request()
    await settled()
    running.stop.request()
    await fake_time.advance(3.0)
    assert spawner.current("proxy-1").signals == ["TERM", "TERM", "KILL"]
    await fake_time.advance(3.0)
    assert len(await running.task) == 2


async def test_a_child_that_fails_while_it_stops_is_named(start: Any, spawner: Any) -> None:
    spawner.on_terminate = {"collectors": 1}
    running = await start(plan("collectors"))
    running.stop.request()
    assert await running.task == ["collectors ended with exit code 1"]


async def test_a_child_that_is_waiting_for_its_restart_is_not_started_once_stopping(
    start: Any, spawner: Any, fake_time: Any, settled: Any
) -> None:
    running = await start(plan("proxy-1"))
    spawner.current("proxy-1").end(1)
    await settled()
    running.stop.request()
    assert await running.task == []
    await fake_time.advance(60.0)
    assert len(spawner.started["proxy-1"]) == 1


async def test_a_child_that_starts_while_stopping_begins_is_stopped_too(
    spawner: Any, fake_time: Any, logger: Any, settled: Any
) -> None:
    gate = asyncio.Event()
    original = type(spawner).__call__

    async def slow(command: Command) -> Any:
        await gate.wait()
        return await original(spawner, command)

    supervisor = Supervisor(
        [plan("proxy-1")], spawn=slow, clock=fake_time, sleep=fake_time.sleep, logger=logger
    )
    stop = StopSignal()
    task = asyncio.create_task(supervisor.run(stop))
    await settled()
    stop.request()
    await settled()
    gate.set()
    assert await task == []
    assert spawner.current("proxy-1").signals == ["TERM"]
