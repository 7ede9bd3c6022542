"""Ends a process whose event loop stands still, so that another one serves in its place.

A plugin's ``async def`` that computes or blocks cannot be interrupted from within. Nothing is lost by the
end: what was being served is recorded by the next start.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from structlog.typing import FilteringBoundLogger

_LOOKS: Final = 4
"""So many in the time that a loop may stand still; a machine that sleeps takes none."""


def end_this_process() -> None:
    """End it as a kill from outside would."""
    os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def watched_loop(
    stall_s: float, logger: FilteringBoundLogger, end: Callable[[], None] = end_this_process
) -> Iterator[None]:
    """Look from a thread whether the running loop still turns, while the body runs.

    Args:
        stall_s: How long it may stand still; 0 looks never.
        logger: Told where it stands, before the end.
        end: Ends the process.
    """
    if stall_s == 0:
        yield
        return
    watch = _LoopWatch(stall_s, logger, end)
    watch.start()
    try:
        yield
    finally:
        watch.stop()


class _LoopWatch:
    def __init__(self, stall_s: float, logger: FilteringBoundLogger, end: Callable[[], None]) -> None:
        self._every_s = stall_s / _LOOKS
        self._logger = logger
        self._end = end
        self._turned = True
        self._stopped = threading.Event()
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()

    def start(self) -> None:
        self._turn()
        threading.Thread(target=self._watch, name="loop-watch", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def _turn(self) -> None:
        self._turned = True
        if not self._stopped.is_set():
            self._loop.call_later(self._every_s / 2, self._turn)

    def _watch(self) -> None:
        missed = 0
        while missed < _LOOKS:
            if self._stopped.wait(self._every_s):
                return
            missed = 0 if self._turned else missed + 1
            self._turned = False
        frame = sys._current_frames().get(self._loop_thread)
        self._logger.error(
            "the event loop stands still; this process is ended so that another serves",
            seconds=self._every_s * missed,
            where="".join(traceback.format_stack(frame)),
        )
        self._end()
