"""When a sink may be sent the next request."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Hashable
from typing import Final

_LONGEST_HOLD_S: Final = 300.0


class Pace:
    """Keeps requests that are not full apart, and a sink that asked for quiet in peace.

    Args:
        interval_s: Least time from one request to the next of the same lane.
        monotonic: Seconds that only grow.
        sleep: Waits.
    """

    def __init__(
        self,
        interval_s: float,
        monotonic: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._interval_s = interval_s
        self._monotonic = monotonic
        self._sleep = sleep
        self._last: dict[Hashable, float] = {}
        self._quiet_until = -math.inf

    async def turn(self, lane: Hashable, *, full: bool) -> None:
        """Wait until the lane's next request is due; a full one is due at once.

        What is asked of a collector meanwhile gathers in front of it and makes the next request larger.
        """
        wait_s = self._last.get(lane, -math.inf) + self._interval_s - self._monotonic()
        if wait_s > 0 and not full:
            await self._sleep(wait_s)
        self._last[lane] = self._monotonic()

    def keep_quiet(self, seconds: float) -> None:
        """Nothing is to be sent for so long; five minutes at most, whatever a sink asks for."""
        self._quiet_until = max(self._quiet_until, self._monotonic() + min(seconds, _LONGEST_HOLD_S))

    def quiet_s(self) -> float:
        """Seconds for which nothing is to be sent; 0 when it may be."""
        return max(self._quiet_until - self._monotonic(), 0.0)
