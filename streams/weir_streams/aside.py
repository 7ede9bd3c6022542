"""Families that the disk refused: kept in memory, slots and all, until it takes them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from weir_streams.families import Family


class Refused(NamedTuple):
    """A family and the slot it still holds."""

    slot: int
    family: Family


class Aside:
    """While ``reason`` is set, only ``drain`` writes, and whoever comes meanwhile queues behind.

    That is what keeps the writer to one thread at a time without a lock on the hot path.
    """

    def __init__(self) -> None:
        self.reason = ""
        self._lock = threading.Lock()
        self._families: deque[Refused] = deque()

    def note(self, reason: str) -> None:
        """The disk refused what its writer does not leave here; ``drain`` says when it is well again."""
        with self._lock:
            self.reason = self.reason or reason

    def begin(self, refused: Refused, reason: str) -> None:
        """Take the first family that the disk refused."""
        with self._lock:
            self._families.append(refused)
            self.reason = reason

    def join(self, refused: Refused) -> bool:
        """Take a family that came while the disk refuses; False when it takes writes again."""
        with self._lock:
            if self.reason:
                self._families.append(refused)
            return bool(self.reason)

    def drain(self, write: Callable[[Refused], None]) -> int:
        """Write what waits, oldest first; once nothing does, the disk counts as well again.

        Raises:
            Exception: What ``write`` raised; that family and those behind it still wait.
        """
        written = 0
        while True:
            with self._lock:
                if not self._families:
                    self.reason = ""
                    return written
                first = self._families[0]
            write(first)
            written += 1
            self._families.popleft()
