"""What a call holds of a plugin, so that one start of it serves all the call's hooks."""

from __future__ import annotations

import asyncio

from weir_host.instance import Calls
from weir_sdk.inflight import InFlight


class Tenure:
    """One start of a plugin, from the moment it serves to its stop.

    A change puts a new start in its place. Calls that hold this one go on with it: an answer is of one
    version, and what a plugin keeps between two hooks of a call is there at the second.

    Attributes:
        calls: What it serves.
        over: It serves no more, whoever holds it.
    """

    __slots__ = ("_holders", "calls", "over")

    def __init__(self, calls: Calls) -> None:
        self.calls = calls
        self.over = False
        self._holders = InFlight()

    def take(self) -> None:
        """Hold it; once for each ``release``."""
        self._holders.began()

    def release(self) -> None:
        """Hold it no more."""
        self._holders.ended(abandoned=False)

    async def end(self, closing: asyncio.Event, within_s: float) -> None:
        """Wait until nobody holds it, at most until ``closing`` is set or for ``within_s`` seconds."""
        if not self.over:
            waiting = [asyncio.ensure_future(wait) for wait in (self._holders.idle(), closing.wait())]
            try:
                await asyncio.wait(waiting, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waiting:
                    wait.cancel()
        self.over = True
