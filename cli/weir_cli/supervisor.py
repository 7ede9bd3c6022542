"""Keeps children alive until it is asked to stop, then stops them in order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from structlog.typing import FilteringBoundLogger

from weir_cli.backoff import Backoff
from weir_cli.processes import Command, Process, Spawn, describe_exit, is_clean
from weir_cli.stopping import StopSignal
from weir_core.clock import Clock

Sleep = Callable[[float], Awaitable[None]]

_HURRIED_GRACE_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class ChildPlan:
    """One child to keep alive.

    Children of a lower ``stop_order`` are stopped first; the next ones when these have ended. A child that
    has not ended ``grace_s`` seconds after SIGTERM is killed.
    """

    name: str
    command: Command
    stop_order: int
    grace_s: float


class Supervisor:
    """Starts all children at once and restarts each that ends.

    Args:
        plans: The children.
        spawn: Starts a process.
        clock: Measures how long a child lived.
        sleep: Waits; a test holds it.
        logger: Gets one line for each start, end and restart.
        on_exit: Called with the pid of each child that ended.
    """

    def __init__(
        self,
        plans: Sequence[ChildPlan],
        *,
        spawn: Spawn,
        clock: Clock,
        logger: FilteringBoundLogger,
        sleep: Sleep = asyncio.sleep,
        on_exit: Callable[[int], None] = lambda pid: None,
    ) -> None:
        self._plans = sorted(plans, key=lambda plan: plan.stop_order)
        self._spawn = spawn
        self._clock = clock
        self._logger = logger
        self._sleep = sleep
        self._on_exit = on_exit
        self._running: dict[str, Process] = {}
        self._failures: list[str] = []

    async def run(self, stop: StopSignal) -> list[str]:
        """Keep the children until ``stop``, then end them.

        Returns:
            One sentence for each child that did not end cleanly; empty when all did.
        """
        async with asyncio.TaskGroup() as group:
            keepers = {plan.name: group.create_task(self._keep(plan, stop)) for plan in self._plans}
            await stop.stopping.wait()
            self._logger.info("stopping")
            for _, stage in groupby(self._plans, key=lambda plan: plan.stop_order):
                await self._stop(list(stage), keepers, stop)
        self._logger.info("stopped")
        return self._failures

    async def _keep(self, plan: ChildPlan, stop: StopSignal) -> None:
        backoff = Backoff()
        while not stop.stopping.is_set():
            started = self._clock.monotonic()
            ending = await self._live_once(plan, stop)
            if stop.stopping.is_set():
                return
            uptime = self._clock.monotonic() - started
            delay = backoff.after(uptime)
            self._logger.error(
                "child ended", child=plan.name, ending=ending, uptime_s=round(uptime, 1), restart_in_s=delay
            )
            await self._first_of(stop.stopping.wait(), self._sleep(delay))

    async def _live_once(self, plan: ChildPlan, stop: StopSignal) -> str:
        try:
            process = await self._spawn(plan.command)
        except OSError as error:
            return f"could not be started: {error.strerror}"
        self._running[plan.name] = process
        self._logger.info("child started", child=plan.name, child_pid=process.pid)
        if stop.stopping.is_set():
            process.terminate()
        code = await process.wait()
        del self._running[plan.name]
        self._on_exit(process.pid)
        if stop.stopping.is_set():
            self._logger.info("child stopped", child=plan.name, ending=describe_exit(code))
            if not is_clean(code):
                self._failures.append(f"{plan.name} ended with {describe_exit(code)}")
        return describe_exit(code)

    async def _stop(
        self, stage: Sequence[ChildPlan], keepers: dict[str, asyncio.Task[None]], stop: StopSignal
    ) -> None:
        """SIGTERM, the grace, a shorter one when hurried, then SIGKILL."""
        ended = asyncio.gather(*(keepers[plan.name] for plan in stage))
        for process in self._running_of(stage):
            process.terminate()
        await self._first_of(
            asyncio.shield(ended), stop.hurried.wait(), self._sleep(max(plan.grace_s for plan in stage))
        )
        if stop.hurried.is_set() and not ended.done():
            for process in self._running_of(stage):
                process.terminate()
            await self._first_of(asyncio.shield(ended), self._sleep(_HURRIED_GRACE_S))
        for process in self._running_of(stage):
            self._logger.error("child did not end in time; killing it", child_pid=process.pid)
            process.kill()
        await ended

    def _running_of(self, stage: Sequence[ChildPlan]) -> list[Process]:
        return [self._running[plan.name] for plan in stage if plan.name in self._running]

    async def _first_of(self, *waits: Awaitable[Any]) -> None:
        """Return when one of them ends, and drop the others."""
        tasks = [asyncio.ensure_future(wait) for wait in waits]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
