"""One way to await a plugin's handlers, however they are written."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import nullcontext
from typing import Any, TypeAlias

from weir_host.instance import Turn
from weir_host.limits import HostLimits
from weir_host.tasks import HandlerTasks
from weir_sdk.errors import HandlerQuitError
from weir_sdk.inflight import InFlight
from weir_sdk.plugin import is_inline
from weir_sdk.threads import HandlerThreads

Invocation: TypeAlias = Callable[..., Coroutine[Any, Any, object]]
"""Calls a handler with its arguments. Cancelling it ends it at once, whatever the handler does."""


class HandlerRunner:
    """Runs the handlers of one plugin: ``async def`` in the event loop, ``def`` in threads, unless inline."""

    def __init__(self, name: str, limits: HostLimits) -> None:
        self._inflight = InFlight()
        self._tasks = HandlerTasks(self._inflight, cancel_grace_s=limits.cancel_grace_s)
        self._threads = HandlerThreads(name, self._inflight, limit=limits.threads_per_plugin)
        self._turns = asyncio.Semaphore(limits.threads_per_plugin)

    @property
    def abandoned(self) -> int:
        """Handlers that nobody waits for any more and that still run."""
        return self._inflight.abandoned

    def invocation(self, handler: Callable[..., Any]) -> Invocation:
        """Find out how a handler is written, once."""
        if inspect.iscoroutinefunction(handler):
            run = self._tasks.run
            return lambda *arguments: run(handler(*arguments))
        if is_inline(handler):
            return lambda *arguments: self._inline(handler, arguments)
        return lambda *arguments: self.in_thread(handler, *arguments)

    def turn(self, handler: Callable[..., Any]) -> Turn:
        """Room for one call; may be entered again and again. Only threads are ever short."""
        if inspect.iscoroutinefunction(handler) or is_inline(handler):
            return nullcontext()
        return self._turns

    async def in_thread(self, function: Callable[..., Any], *arguments: Any) -> object:
        """Call a plain function that may block."""
        return await self._finished(await self._threads.run(function, *arguments))

    async def idle(self) -> None:
        """Wait until no handler is at work."""
        await self._inflight.idle()

    def close(self) -> None:
        """Take no more handlers; those at work go on to their own ends."""
        self._tasks.close()
        self._threads.close()

    async def _inline(self, handler: Callable[..., Any], arguments: tuple[Any, ...]) -> object:
        try:
            answer = handler(*arguments)
        except asyncio.CancelledError as error:
            raise HandlerQuitError("it raised CancelledError") from error
        return await self._finished(answer)

    async def _finished(self, answer: object) -> object:
        # A plain function may hand back a coroutine that somebody else made.
        if inspect.isawaitable(answer):
            return await self._tasks.run(_awaiting(answer))
        return answer


async def _awaiting(awaitable: Awaitable[object]) -> object:
    return await awaitable
