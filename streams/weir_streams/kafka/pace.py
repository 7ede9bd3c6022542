"""A limit on bytes a second that lets a pause be made up for by at most a second's worth."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from weir_core.clock import Clock


class Pace:
    """A bucket that fills at ``bytes_per_s`` up to one second's worth; 0 is no limit."""

    def __init__(
        self, bytes_per_s: int, clock: Clock, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._bytes_per_s = bytes_per_s
        self._clock = clock
        self._sleep = sleep
        self._left = float(bytes_per_s)
        self._filled_at = clock.monotonic()

    async def spend(self, size: int) -> None:
        """Take ``size`` bytes out; wait first while it is in debt."""
        if not self._bytes_per_s:
            return
        self._fill()
        if self._left < 0:
            await self._sleep(-self._left / self._bytes_per_s)
            self._fill()
        self._left -= size

    def _fill(self) -> None:
        now = self._clock.monotonic()
        self._left = min(float(self._bytes_per_s), self._left + (now - self._filled_at) * self._bytes_per_s)
        self._filled_at = now
