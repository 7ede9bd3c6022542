"""Waiting for a service of the gateway in a plain ``def`` handler."""

from __future__ import annotations

from collections.abc import Coroutine
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, TypeVar

from weir_sdk.errors import ServiceError

if TYPE_CHECKING:
    import asyncio

_Result = TypeVar("_Result")

HANDLERS_LOOP: Final[ContextVar[asyncio.AbstractEventLoop]] = ContextVar("weir_handlers_loop")
"""In a handler's thread, the event loop that its services belong to."""


def wait_in_thread(call: Coroutine[Any, Any, _Result]) -> _Result:
    """Run a service call in the loop it belongs to, and wait for it here.

    Raises:
        ServiceError: This thread runs an event loop itself: there, ``await`` the call.
    """
    import asyncio  # noqa: PLC0415 - a plugin's unit test need not pay for it

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        loop = HANDLERS_LOOP.get(None)
        # Without one nobody hosts the handler: a test calls it.
        return asyncio.run(call) if loop is None else asyncio.run_coroutine_threadsafe(call, loop).result()
    call.close()
    raise ServiceError("services.wait is for plain def handlers; await the call in async and inline ones")
