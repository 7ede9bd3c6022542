"""One way to await a plugin's handlers, however they are written."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

from weir_sdk.capabilities import HANDLERS
from weir_sdk.errors import HandlerQuitError
from weir_sdk.inflight import InFlight
from weir_sdk.plugin import BasePlugin, is_inline
from weir_sdk.serving.methods import FailedCallError
from weir_sdk.threads import HandlerThreads
from weir_sdk.wire.failures import failure_of

THREADS: Final = 8
"""Plain ``def`` handlers that run at a time; as many again may hang before calls have to wait."""

Invocation: TypeAlias = Callable[..., Awaitable[object]]


class Handlers:
    """The handlers that a plugin has: ``async def`` runs in the loop, ``def`` in threads, unless inline.

    Needs a running loop. When a call is cancelled, its ``async def`` handler is too; a thread is left
    to itself.
    """

    def __init__(self, plugin: BasePlugin) -> None:
        self._threads = HandlerThreads(f"weir-plugin-{plugin.name}", InFlight(), limit=THREADS)
        found = {name: getattr(plugin, name, None) for names in HANDLERS.values() for name in names}
        self._functions = {name: handler for name, handler in found.items() if callable(handler)}
        self._invocations = {name: self.invocation(handler) for name, handler in self._functions.items()}

    def get(self, name: str) -> Invocation | None:
        """The handler of that name, if the plugin has it."""
        return self._invocations.get(name)

    def threaded(self) -> dict[str, bool]:
        """The handlers by name, and whether each runs in a thread."""
        return {name: _needs_thread(handler) for name, handler in self._functions.items()}

    def invocation(self, handler: Callable[..., Any]) -> Invocation:
        """A function of the plugin's, to be awaited.

        Awaiting it raises what the function raises, but never more than an ``Exception``, and CancelledError
        only when the call itself is cancelled.
        """
        if _needs_thread(handler):
            return lambda *arguments: _contained(self._in_thread(handler, arguments))
        return lambda *arguments: _contained(_in_loop(handler, arguments))

    async def in_thread(self, function: Callable[..., Any], *arguments: Any) -> object:
        """Call a plain function that may block."""
        return await _contained(self._in_thread(function, arguments))

    async def _in_thread(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> object:
        return await _finished(await self._threads.run(function, *arguments))


def failed(error: Exception) -> FailedCallError:
    """A failure of a handler, or of the judgement of its answer, as a failed call."""
    return FailedCallError.from_failure(failure_of(error))


def _needs_thread(handler: Callable[..., Any]) -> bool:
    return not inspect.iscoroutinefunction(handler) and not is_inline(handler)


async def _in_loop(handler: Callable[..., Any], arguments: tuple[Any, ...]) -> object:
    return await _finished(handler(*arguments))


async def _finished(answer: object) -> object:
    return await answer if inspect.isawaitable(answer) else answer


async def _contained(work: Awaitable[object]) -> object:
    task = asyncio.current_task()
    assert task is not None
    try:
        return await work
    except asyncio.CancelledError as error:
        if task.cancelling():
            raise
        raise HandlerQuitError("it was cancelled from within") from error
    except (Exception, GeneratorExit):
        raise
    except BaseException as error:
        # It would end the event loop, and with it the process, in the middle of other calls.
        raise HandlerQuitError(_how_it_quit(error)) from error


def _how_it_quit(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"it called sys.exit({error.code!r})"
    return f"it raised {type(error).__name__}"
