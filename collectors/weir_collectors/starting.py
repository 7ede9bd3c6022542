"""Waiting for a plugin that is on its way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

_LOOK_EVERY_S: Final = 0.05
_LOOKS: Final = 700


class StartWait:
    """Waits for one plugin on behalf of everything that waits for it.

    It gives up after as long as the host gives a plugin to start, and a little more: whatever is not there by
    then keeps ending again, and is taken for away until it has started after all.

    Args:
        sleep: Waits between two looks.
    """

    def __init__(self, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._sleep = sleep
        self._looking = asyncio.Lock()
        self._looks = 0

    @property
    def is_over(self) -> bool:
        """Whether it has waited for long enough."""
        return self._looks >= _LOOKS

    async def until(self, ended: Callable[[], bool]) -> None:
        """Wait until ``ended`` or until this ``is_over``. One caller looks, the others queue behind it."""
        async with self._looking:
            while not ended() and not self.is_over:
                await self._sleep(_LOOK_EVERY_S)
                self._looks += 1

    def begin_anew(self) -> None:
        """The plugin is there: the next start is waited for as long again."""
        self._looks = 0
