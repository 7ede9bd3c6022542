"""What ends a plugin process: its host's wish, SIGTERM, the death of its parent. And nothing keeps it."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Final, NoReturn

_PR_SET_PDEATHSIG: Final = 1
_PR_GET_PDEATHSIG: Final = 2
_POLL_S: Final = 1.0

LEAVE_S: Final = 1.5
"""Seconds from the host's last word to the end of the process, whatever hangs; hosts kill after two."""

_TERM_S: Final = 6.0
_TIDY_S: Final = 0.5


class Ending:
    """Tells the process to end, and ends it if it does not. Made in the main thread, within the loop.

    Signals are handled where the main thread is, so that even a handler that blocks the loop is interrupted;
    only code outside of Python that never returns is not.
    """

    def __init__(self, clean_up: Callable[[], None]) -> None:
        self._clean_up = clean_up
        self._loop = asyncio.get_running_loop()
        self._wanted = asyncio.Event()
        self._parent = os.getppid()
        signal.signal(signal.SIGTERM, lambda *_: self.want(_TERM_S))
        signal.signal(signal.SIGALRM, self._leave_now)
        self._watching: asyncio.Task[None] | None = None
        if not self._asked_for_parents_death():
            self._watching = asyncio.create_task(self._watch_parent())

    async def wanted(self) -> float:
        """Wait until the process is to end; returns how many seconds the plugin has to shut down."""
        await self._wanted.wait()
        left_s, _ = signal.getitimer(signal.ITIMER_REAL)
        return max(0.0, left_s - _TIDY_S)

    def want(self, within_s: float) -> None:
        """The process is to end, with code 0 after this many seconds. Signal handlers may call it."""
        # Python lets go of its own handlers while it exits: one more SIGTERM then would look like a crash.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        left_s, _ = signal.getitimer(signal.ITIMER_REAL)
        if left_s == 0 or left_s > within_s:
            signal.setitimer(signal.ITIMER_REAL, within_s)
        with suppress(RuntimeError):  # the loop has closed: the end is under way
            self._loop.call_soon_threadsafe(self._wanted.set)

    def _leave_now(self, _signal: int, _frame: FrameType | None) -> NoReturn:
        self._clean_up()
        os._exit(0)

    def _asked_for_parents_death(self) -> bool:
        """Have the kernel signal the death of the thread that started us: Linux only."""
        news = getattr(signal, "SIGRTMIN", None)
        if news is None:
            return False
        try:
            prctl = ctypes.CDLL(None).prctl
        except (OSError, AttributeError):
            return False
        arranged = ctypes.c_int(0)
        if prctl(_PR_GET_PDEATHSIG, ctypes.byref(arranged), 0, 0, 0) == 0 and arranged.value:
            return True  # the host has seen to it, in its own way
        signal.signal(news, lambda *_: self._ask_after_parent())
        asked: int = prctl(_PR_SET_PDEATHSIG, int(news), 0, 0, 0)
        self._ask_after_parent()
        return asked == 0

    def _ask_after_parent(self) -> None:
        # The signal also comes when only the thread that started us has ended; then the parent is the same.
        if os.getppid() != self._parent:
            self.want(LEAVE_S)

    async def _watch_parent(self) -> None:
        while os.getppid() == self._parent:  # noqa: ASYNC110 - nothing tells of a parent's death here
            await asyncio.sleep(_POLL_S)
        self.want(LEAVE_S)
