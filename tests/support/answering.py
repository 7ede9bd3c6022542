"""A server that answers what a test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from weir_cli.asgi import serve_until
from weir_cli.listening import bind


@asynccontextmanager
async def answering(*statuses: int, body: bytes = b"") -> AsyncIterator[tuple[str, list[str]]]:
    """Give these answers one after the other, and go on with the last.

    Yields its address, and the ``Authorization`` of each request so far.
    """
    left, shown = list(statuses), list[str]()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        shown.append(dict(scope["headers"]).get(b"authorization", b"").decode())
        status = left.pop(0) if len(left) > 1 else left[0]
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"" if status == 204 else body})

    stop, listener = asyncio.Event(), bind("127.0.0.1", 0)
    serving = asyncio.create_task(serve_until(stop, {listener: app}))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", shown
    finally:
        stop.set()
        await serving
