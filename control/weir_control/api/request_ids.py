"""Gives each request an id, which its answer, its log lines and the audit log carry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HEADER: Final = b"x-request-id"


class RequestIds:
    """ASGI middleware: a new id as ``weir.request_id`` in the scope and as ``X-Request-Id`` in the answer.

    Always one of ours: an id that a caller chose would prove nothing in the audit log.
    """

    def __init__(self, app: ASGIApp, new_id: Callable[[], str]) -> None:
        self._app = app
        self._new_id = new_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = self._new_id()

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], (_HEADER, request_id.encode())]}
            await send(message)

        await self._app({**scope, "weir.request_id": request_id}, receive, send_with_id)
