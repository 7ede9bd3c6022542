"""The life of a command that has children: they are kept until it is asked to stop, then ended in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import structlog
from prometheus_client.multiprocess import mark_process_dead

from weir_cli.data_dir import DataDir
from weir_cli.processes import spawn
from weir_cli.stopping import StopSignal
from weir_cli.supervisor import ChildPlan, Supervisor
from weir_core.clock import SystemClock


async def supervise(
    plans: Sequence[ChildPlan],
    data_dir: DataDir,
    *,
    close_listeners: Callable[[], None],
    greet: Coroutine[Any, Any, None],
) -> int:
    """Keep children until SIGTERM or SIGINT.

    Args:
        plans: The children.
        data_dir: What they share, prepared for this run.
        close_listeners: Closes this process's copies of the sockets that they serve.
        greet: Runs beside them; everything stops when it fails.

    Returns:
        0, or 1 when a child had to be killed or failed while it was stopped.

    Raises:
        WeirError: What ``greet`` raised.
    """
    logger = structlog.get_logger("weir.supervisor")
    on_exit = partial(mark_process_dead, path=str(data_dir.metrics))
    supervisor = Supervisor(plans, spawn=spawn, clock=SystemClock(), logger=logger, on_exit=on_exit)
    stop = StopSignal()
    stop.listen(asyncio.get_running_loop())
    supervising = asyncio.create_task(supervisor.run(stop))
    greeting = asyncio.create_task(greet)
    for task in (supervising, greeting):
        task.add_done_callback(partial(_stop_on_failure, stop))
    await stop.stopping.wait()
    # From here on a new connection is refused rather than kept waiting.
    close_listeners()
    greeting.cancel()
    failures = await supervising
    data_dir.forget_run()
    for failure in failures:
        logger.error("not stopped cleanly", reason=failure)
    with suppress(asyncio.CancelledError):
        await greeting
    return 1 if failures else 0


def _stop_on_failure(stop: StopSignal, task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and task.exception() is not None:
        stop.request()
