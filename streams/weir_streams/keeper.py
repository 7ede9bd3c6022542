"""The thread that does beside the hot path what must not be done in it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

from weir_core.clock import Clock
from weir_core.errors import WeirError

_TICK_S = 1.0


class Chore(NamedTuple):
    """Work that comes due every ``every_s`` seconds; 0 means at every tick. It may block."""

    run: Callable[[], None]
    every_s: float
    first_after_s: float


class Keeper:
    """Runs chores in order, once a second and whenever it is woken.

    Args:
        chores: What to run.
        clock: Says when a chore is due.
        on_failure: Told what a chore raised; the others go on and it is tried again when next due.

    ``reason`` says that the thread is gone, which only a defect can cause.
    """

    def __init__(
        self, chores: Sequence[Chore], clock: Clock, on_failure: Callable[[Exception], None]
    ) -> None:
        self.reason = ""
        self._clock = clock
        self._on_failure = on_failure
        now = clock.monotonic()
        self._due = [(chore, now + chore.first_after_s) for chore in chores]
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="weir-spool-keeper", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wake(self) -> None:
        """Run what is due now. Any thread; does not block."""
        self._wake.set()

    def stop(self) -> None:
        """Wait for the running chore and end the thread. Blocks."""
        self._stopping = True
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._stopping:
                self.tick()
                self._wake.wait(_TICK_S)
                self._wake.clear()
        finally:
            if not self._stopping:
                self.reason = "the keeper thread ended; restart this worker"

    def tick(self) -> None:
        """Run every chore that is due."""
        now = self._clock.monotonic()
        for position, (chore, due) in enumerate(self._due):
            if now < due or self._stopping:
                continue
            self._due[position] = (chore, now + chore.every_s)
            try:
                chore.run()
            except (OSError, WeirError) as error:
                self._on_failure(error)
