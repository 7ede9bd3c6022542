"""The end of a role that no supervisor watches: in order where that can be, and in time whatever hangs.

A thread takes the signals, because the loop may be what hangs: in a plugin, a driver, a broker's silence.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Final

from structlog.typing import FilteringBoundLogger

from weir_cli.stopping import SETTLE_S, StopSignal
from weir_core.clock import Clock
from weir_core.settings import Settings

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
# Whoever reads our standard error may have stopped reading, and must not keep this process alive.
_TELL_WITHIN_S: Final = 1.0


def stop_deadline_s(settings: Settings) -> float:
    """Seconds from SIGTERM to the end of a role that runs alone."""
    return settings.shutdown_grace + SETTLE_S


def relay_deadline_s(settings: Settings) -> float:
    """The same for a relay, which may deliver for longer what is left."""
    return max(settings.shutdown_grace, settings.kafka.relay_drain_seconds) + SETTLE_S


def end_in_time(stop: StopSignal, deadline_s: float, clock: Clock, logger: FilteringBoundLogger) -> None:
    """Take SIGTERM and SIGINT for the rest of this process's life; to be called in its loop's thread.

    The first asks ``stop``. The second, or ``deadline_s`` seconds without an end, ends the process with exit
    code 1 where it stands, as a kill would: what was not committed is delivered again.
    """
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    for number in _SIGNALS:
        # Python notes only signals that have a handler; the thread is told by the descriptor.
        signal.signal(number, lambda _number, _frame: None)
    signal.set_wakeup_fd(writer.fileno())
    ending = _Ending(reader, writer, stop, asyncio.get_running_loop(), clock, logger)
    threading.Thread(target=ending.watch, args=(deadline_s,), name="ending", daemon=True).start()


class _Ending:
    """``writer`` is only kept open."""

    def __init__(
        self,
        reader: socket.socket,
        writer: socket.socket,
        stop: StopSignal,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        logger: FilteringBoundLogger,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._stop = stop
        self._loop = loop
        self._clock = clock
        self._logger = logger

    def watch(self, deadline_s: float) -> None:
        """Wait for both requests; the process may end in between."""
        self._asked(within_s=None)
        # Nothing is left to be stopped once the loop is closed.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._stop.request)
        if self._asked(within_s=deadline_s):
            reason = "it was asked a second time"
        else:
            reason = f"it did not end within {deadline_s:g} s"
        _within(_TELL_WITHIN_S, lambda: self._tell(reason))
        os._exit(1)

    def _asked(self, within_s: float | None) -> bool:
        """Whether a request came in time; None is for ever."""
        until = None if within_s is None else self._clock.monotonic() + within_s
        while True:
            left_s = None if until is None else max(0.0, until - self._clock.monotonic())
            if not select.select([self._reader], [], [], left_s)[0]:
                return False
            if self._reader.recv(1)[0] in _SIGNALS:
                return True

    def _tell(self, reason: str) -> None:
        self._logger.error(
            "ended before all was finished; nothing is lost: what was not committed is delivered again",
            reason=reason,
            unfinished=list(self._stop.unfinished()),
            waiting_for=_running_tasks(self._loop) + _running_threads(),
            main_thread_at=_place_of_main_thread(),
        )


def _running_tasks(loop: asyncio.AbstractEventLoop) -> list[str]:
    return sorted({getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks(loop)})


def _running_threads() -> list[str]:
    """Those that Python waits for when it ends, and its pools' workers, which it waits for as well."""
    main = threading.main_thread()
    return [
        f"thread {thread.name}" for thread in threading.enumerate() if not (thread.daemon or thread is main)
    ]


def _place_of_main_thread() -> str:
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    [place] = traceback.extract_stack(frame, limit=1) or [None]
    return "" if place is None else f"{place.filename}:{place.lineno} {place.name}"


def _within(seconds: float, work: Callable[[], None]) -> None:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
