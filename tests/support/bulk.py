"""Tens of thousands of calls at little cost: requests made beforehand, on connections without an HTTP library."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tests.support.gateway import eventually
from tests.support.wire import Wire

_CONNECTIONS = 32


@dataclass
class Bulk:
    """Sends each request once, whatever dies meanwhile: what breaks off is not sent again.

    ``whole`` are the gateway's ids of the answers that came whole, ``torn`` counts those that did not.
    """

    port: int
    requests: Sequence[bytes]
    whole: set[str] = field(default_factory=set)
    torn: int = 0

    async def run(self) -> None:
        """Send all of them; each is answered with a 200 or breaks off."""
        left = iter(self.requests)
        async with asyncio.TaskGroup() as calling:
            for _ in range(_CONNECTIONS):
                calling.create_task(self._call(left))

    async def has_made(self, calls: int) -> None:
        """Wait until so many are over."""

        async def made() -> bool:
            return len(self.whole) + self.torn >= calls

        await eventually(made, f"{calls} calls are over", within_s=120)

    async def _call(self, left: Iterator[bytes]) -> None:
        wire = await self._connected()
        for request in left:
            try:
                await wire.send(request)
                answer = await wire.answer()
            except (ConnectionError, asyncio.IncompleteReadError):
                self.torn += 1
                wire.hang_up()
                wire = await self._connected()
            else:
                assert answer.status == 200, answer
                self.whole.add(answer.headers["x-request-id"])
        wire.hang_up()

    async def _connected(self) -> Wire:
        """A connection, as soon as there is somebody to take it."""
        while True:
            with contextlib.suppress(ConnectionError):
                return Wire(*await asyncio.open_connection("127.0.0.1", self.port))
            await asyncio.sleep(0.02)
