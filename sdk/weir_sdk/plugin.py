"""The base class of every plugin, and the mark for quick handlers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from weir_sdk.context import Context

_Handler = TypeVar("_Handler", bound=Callable[..., Any])

_INLINE: Final = "__weir_inline__"


def inline(handler: _Handler) -> _Handler:
    """Run a plain ``def`` handler in the gateway's event loop instead of a thread.

    For handlers that only compute, in microseconds: while one runs, the gateway does nothing else, and no
    deadline can interrupt it. ``async def`` handlers run in the event loop anyway.
    """
    setattr(handler, _INLINE, True)
    return handler


def is_inline(handler: Callable[..., Any]) -> bool:
    """Whether ``@inline`` marks this handler."""
    return getattr(handler, _INLINE, False) is True


class BasePlugin:
    """A plugin: derive from it and write the handlers you need.

    A handler is a method with one of the names in ``weir_sdk.capabilities``, ``def`` or ``async def``; that
    it is there is what makes the gateway call it. One object serves all calls of a process, many at a time.
    The gateway makes it without arguments, so a plugin names itself in ``super().__init__`` or in the class.
    """

    name: str = ""
    version: str = ""
    description: str = ""

    def __init__(self, name: str = "", version: str = "", description: str = "") -> None:
        self.name = name or self.name
        self.version = version or self.version
        self.description = description or self.description

    @inline
    def initialize(self, ctx: Context, config: dict[str, Any]) -> Awaitable[None] | None:
        """Get ready to serve; ``config`` has its JSON types. Raise to refuse it. Has 30 seconds."""
        return None

    @inline
    def shutdown(self, ctx: Context) -> Awaitable[None] | None:
        """Release what was opened. Called once no call is in flight any more. Has 5 seconds."""
        return None
