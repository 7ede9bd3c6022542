"""The gateway's services for one plugin process, on a socket of its own: who calls there is that plugin."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import grpc
from grpc import aio

_UNLIMITED = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1))


class ServiceChannel:
    """A gRPC server on a unix socket in the plugin's private directory.

    ``reached`` is set by the first call: the only sign that the plugin has taken the broker's offer.
    """

    def __init__(self, path: Path, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        self.path = path
        self.reached = asyncio.Event()
        self._server = aio.server(
            handlers=handlers, interceptors=[_Doorbell(self.reached.set)], options=_UNLIMITED
        )
        self._server.add_insecure_port(f"unix:{path}")

    async def start(self) -> None:
        """Begin to serve."""
        await self._server.start()

    async def stop(self) -> None:
        """Cut whatever is still asked, and close the socket."""
        await self._server.stop(None)


class _Doorbell(aio.ServerInterceptor):
    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        self._ring()
        return await continuation(handler_call_details)
