"""Deadlines that cost nothing where nobody waits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Generator
from typing import Any, Final, TypeVar

from weir_host.errors import PluginTimeoutError

_Result = TypeVar("_Result")

_TAKEN: Final = object()


async def call_with_deadline(
    call: Coroutine[Any, Any, _Result], deadline: float, loop: asyncio.AbstractEventLoop
) -> _Result:
    """Await a plugin call until a point in time of the loop's clock.

    A call that ends without waiting for anything needs neither a task nor a timer. One that held the loop up
    until its deadline had passed cannot be cut short; it is late all the same.

    Args:
        call: What one of an ``Instance``'s hooks returned; it ends at once when it is cancelled.
        deadline: Seconds, as ``loop.time()`` counts them.
        loop: The running loop.

    Raises:
        PluginTimeoutError: The call was not done at its deadline.
    """
    # A loop may count time only once a turn, so what a call takes of its turn is measured by hand.
    allowed, began = deadline - loop.time(), time.perf_counter()
    try:
        waits_for = call.send(None)
    except StopIteration as finished:
        if time.perf_counter() - began > allowed:
            raise _late(allowed) from None
        result: _Result = finished.value
        return result
    scope = asyncio.timeout_at(deadline)
    try:
        async with scope:
            return await Started(call, waits_for)
    except TimeoutError as error:
        if not scope.expired():
            raise
        raise _late(allowed) from error


def _late(allowed_s: float) -> PluginTimeoutError:
    return PluginTimeoutError(f"the plugin was not done after {max(0.0, allowed_s) * 1000:.0f} ms")


class Started(Coroutine[Any, Any, _Result], Generator[Any, Any, _Result]):
    """A coroutine whose first step was made by hand: it yields what that step yielded, then goes on."""

    __slots__ = ("_coroutine", "_waits_for")

    def __init__(self, coroutine: Coroutine[Any, Any, _Result], waits_for: object) -> None:
        self._coroutine = coroutine
        self._waits_for = waits_for

    def send(self, value: Any) -> Any:
        waits_for, self._waits_for = self._waits_for, _TAKEN
        if waits_for is not _TAKEN:
            return waits_for
        return self._coroutine.send(value)

    def throw(self, *error: Any) -> Any:
        # Straight to where the coroutine waits, even when its first wait was never passed on.
        self._waits_for = _TAKEN
        return self._coroutine.throw(*error)

    def close(self) -> None:
        self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, _Result]:
        return self
