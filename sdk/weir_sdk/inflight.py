"""How many handlers of a plugin are at work."""

from __future__ import annotations

import asyncio


class InFlight:
    """Counts handlers that wait or run in threads, so that a stop can wait for the last of them."""

    def __init__(self) -> None:
        self._running = 0
        self._abandoned = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def abandoned(self) -> int:
        """How many still run although nobody waits for them any more."""
        return self._abandoned

    def began(self) -> None:
        """A handler is at work."""
        self._running += 1
        self._idle.clear()

    def was_abandoned(self) -> None:
        """Its caller has gone; it is still at work."""
        self._abandoned += 1

    def ended(self, *, abandoned: bool) -> None:
        """It has ended; ``abandoned`` says whether its caller went before."""
        self._running -= 1
        self._abandoned -= abandoned
        if not self._running:
            self._idle.set()

    async def idle(self) -> None:
        """Wait until no handler is at work."""
        await self._idle.wait()
