"""Deadlines that cost nothing where nobody waits."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any, Final, TypeVar

from weir_host.errors import PluginTimeoutError

_Result = TypeVar("_Result")

_TAKEN: Final = object()


async def call_with_deadline(
    call: Coroutine[Any, Any, _Result], deadline: float, loop: asyncio.AbstractEventLoop
) -> _Result:
    """Await a plugin call until a point in time of the loop's clock.

    A call that ends without waiting for anything needs neither a task nor a timer.

    Args:
        call: What one of an ``Instance``'s hooks returned; it ends at once when it is cancelled.
        deadline: Seconds, as ``loop.time()`` counts them.
        loop: The running loop.

    Raises:
        PluginTimeoutError: The deadline passed while the call was waiting.
    """
    try:
        waits_for = call.send(None)
    except StopIteration as finished:
        result: _Result = finished.value
        return result
    allowed = max(0.0, deadline - loop.time())
    scope = asyncio.timeout_at(deadline)
    try:
        async with scope:
            return await Started(call, waits_for)
    except TimeoutError as error:
        if not scope.expired():
            raise
        raise PluginTimeoutError(f"the plugin was not done after {allowed * 1000:.0f} ms") from error


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
