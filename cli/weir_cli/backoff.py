"""How long to wait before a child that died is started again."""

from __future__ import annotations

from typing import Final

_FIRST_S: Final = 0.1
_SECOND_S: Final = 0.5
_LONGEST_S: Final = 30.0
_STABLE_S: Final = 60.0


class Backoff:
    """At once after the first death, then twice as long each time up to 30 s.

    A child that lived for a minute is taken as healthy again, and its next death as a first one.
    """

    def __init__(self) -> None:
        self._next_s = _FIRST_S

    def after(self, uptime_s: float) -> float:
        """Seconds to wait, given how long the child lived."""
        if uptime_s >= _STABLE_S:
            self._next_s = _FIRST_S
        delay = self._next_s
        self._next_s = min(max(delay * 2, _SECOND_S), _LONGEST_S)
        return delay
