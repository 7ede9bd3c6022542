"""The wish to stop, in the supervisor and in its children alike."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Sequence
from typing import Final

SETTLE_S: Final = 5.0
"""What a role is given above its grace, so that it can still settle what it had to cut off; in seconds."""


class StopSignal:
    """``stopping`` is set by the first SIGTERM or SIGINT, ``hurried`` by the second.

    A role that runs alone makes ``unfinished`` say what it still has before it, in a sentence each.
    """

    def __init__(self) -> None:
        self.stopping = asyncio.Event()
        self.hurried = asyncio.Event()
        self.unfinished: Callable[[], Sequence[str]] = tuple

    def request(self) -> None:
        """Ask to stop; asking again means: do not wait for requests in flight."""
        if self.stopping.is_set():
            self.hurried.set()
        self.stopping.set()

    def listen(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take SIGTERM and SIGINT as requests."""
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.request)
