"""The session that a host holds open with a plugin: it tells the plugin that it can use services."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Final

import grpc
from grpc import aio

from weir_proto.plugin_pb2 import CloseSessionRequest, OpenSessionRequest, OpenSessionResponse

_SESSION_MS: Final = 30_000
_OVERDUE_S: Final = 40.0
_AGAIN_S: Final = 5.0
_CLOSE_S: Final = 5.0


async def hold_sessions(service: Any, plugin_id: int, broker_id: int) -> None:
    """Open a session again and again, until the plugin closes it or turns out to know none.

    Args:
        service: The stub of the plugin's service.
        plugin_id: Its id.
        broker_id: As ``initialize`` named it.
    """
    request = OpenSessionRequest(service_broker_id=broker_id, plugin_id=plugin_id, timeout_ms=_SESSION_MS)
    while True:
        try:
            answer = await service.OpenSession(request, timeout=_OVERDUE_S)
        except aio.AioRpcError as error:
            if error.code() == grpc.StatusCode.UNIMPLEMENTED:
                return
        else:
            if answer.close_reason == OpenSessionResponse.EXPLICIT_CLOSE:
                return
            if answer.close_reason == OpenSessionResponse.TIMEOUT:
                continue
        await asyncio.sleep(_AGAIN_S)


async def close_session(service: Any) -> None:
    """Let the plugin know that there will be no more of them."""
    with suppress(aio.AioRpcError):
        await service.CloseSession(CloseSessionRequest(reason="unload"), timeout=_CLOSE_S)
