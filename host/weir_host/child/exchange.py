"""Calls to a plugin's process that are under way, and what becomes of them.

| what happens                          | the call raises        |
|---------------------------------------|------------------------|
| a handler raises                      | ``PluginCallError``    |
| it answers rubbish                    | ``PluginProtocolError``|
| the message is more than it can take  | ``PluginTooLargeError``|
| the process is lost before the answer | ``PluginNotReadyError``|
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import grpc
from grpc import aio

from weir_host.errors import (
    PluginCallError,
    PluginError,
    PluginLostError,
    PluginNotReadyError,
    PluginProtocolError,
    PluginTooLargeError,
)
from weir_sdk.inflight import InFlight
from weir_sdk.wire.failures import failure_from_wire, type_described

_TOO_LARGE: Final = "larger than max"


class Exchange:
    """The calls to one process.

    Args:
        name: The plugin's name, for errors.
    """

    def __init__(self, name: str) -> None:
        self._plugin = f"plugin {name!r}"
        self._under_way: set[Any] = set()
        self._inflight = InFlight()
        self._lost: str | None = None
        self._given_up = 0

    @property
    def abandoned(self) -> int:
        """Calls that nobody waits for any more, and of which the process may not know that yet."""
        return self._given_up

    def asking(self) -> Callable[[], None]:
        """Once a process answers what it is asked from now on, it knows of the calls given up until now."""
        given_up = self._given_up

        def answered() -> None:
            self._given_up -= given_up

        return answered

    def lose(self, reason: str) -> None:
        """The process is gone: end the calls under way, and refuse others. The first reason stays."""
        self._lost = self._lost or reason
        for call in tuple(self._under_way):
            call.cancel()

    async def idle(self) -> None:
        """Wait until no call is under way."""
        await self._inflight.idle()

    async def ask(self, handler: str, method: Any, write: Callable[[], Any]) -> Any:
        """Call a method of a stub, and return the answer; None when the plugin does not implement it.

        Args:
            handler: What the method stands for, for errors.
            method: The stub's method.
            write: Makes the message.

        Raises:
            PluginError: See above.
        """
        if self._lost is not None:
            raise PluginNotReadyError(f"{self._plugin}: {self._lost}")
        call = method(self._written(handler, write))
        self._under_way.add(call)
        self._inflight.began()
        try:
            return await call
        except aio.AioRpcError as error:
            if error.code() == grpc.StatusCode.UNIMPLEMENTED:
                return None
            raise self._failure(handler, error) from error
        except asyncio.CancelledError:
            # It is either our caller who has gone, or the process.
            caller = asyncio.current_task()
            if self._lost is not None and (caller is None or not caller.cancelling()):
                raise PluginLostError(f"{self._plugin}: {self._lost}") from None
            self._given_up += 1
            raise
        finally:
            self._under_way.discard(call)
            self._inflight.ended(abandoned=False)

    def _written(self, handler: str, write: Callable[[], Any]) -> Any:
        try:
            return write()
        except ValueError as error:
            # For example half a surrogate pair, which another plugin has left in the call's metadata.
            what = f"{self._plugin}: what {handler} is to be told cannot be written"
            raise PluginCallError(f"{what}: {error}", unquoted=what, retryable=False) from error

    def _failure(self, handler: str, error: aio.AioRpcError) -> PluginError:
        details = error.details() or ""
        told = failure_from_wire(details, error.trailing_metadata() or ())
        who = f"{self._plugin}: {handler}"
        if told is not None and told.kind == "rubbish":
            return PluginProtocolError(
                f"{who} {told.message}", unquoted=f"{who} answered what cannot be used"
            )
        if told is not None:
            return PluginCallError(
                f"{who} raised {told.message}",
                unquoted=f"{who} raised {type_described(told.message)}",
                retryable=told.retryable,
            )
        match error.code():
            case grpc.StatusCode.UNAVAILABLE | grpc.StatusCode.CANCELLED:
                return PluginLostError(f"{self._plugin}: its process went away during {handler}")
            case grpc.StatusCode.RESOURCE_EXHAUSTED if _TOO_LARGE in details:
                what = f"{self._plugin} cannot take the message for {handler}"
                return PluginTooLargeError(f"{what}: {details}", unquoted=what)
        code = error.code().name
        return PluginCallError(f"{who} raised {details or code}", unquoted=f"{who} raised {code}")
