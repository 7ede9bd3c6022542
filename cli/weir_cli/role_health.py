"""``/health``, ``/ready`` and ``/metrics`` of a role that serves nothing else."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Scope]]
_Send = Callable[[_Scope], Awaitable[None]]


class HealthApp:
    """An ASGI application.

    Args:
        reasons: Why the role is not ready; empty when it is.
        registry: What ``/metrics`` shows.
    """

    def __init__(self, reasons: Callable[[], Sequence[str]], registry: CollectorRegistry) -> None:
        self._reasons = reasons
        self._registry = registry

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Answer one request."""
        status, content_type, body = self._answer(scope["path"])
        headers = [(b"content-type", content_type.encode()), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _answer(self, path: str) -> tuple[int, str, bytes]:
        if path == "/metrics":
            return 200, CONTENT_TYPE_LATEST, generate_latest(self._registry)
        if path == "/health":
            return _json(200, {"status": "ok"})
        if path == "/ready":
            reasons = list(self._reasons())
            status = "not ready" if reasons else "ready"
            return _json(503 if reasons else 200, {"status": status, "reasons": reasons})
        return _json(404, {"status": "not found", "paths": ["/health", "/ready", "/metrics"]})


async def serve_health(app: HealthApp, listener: socket.socket, stop: asyncio.Event) -> None:
    """Serve until ``stop`` is set."""
    server = _Server(
        uvicorn.Config(app, loop="none", ws="none", lifespan="off", log_config=None, access_log=False)
    )
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await stop.wait()
    finally:
        server.should_exit = True
        await serving


def _json(status: int, content: dict[str, Any]) -> tuple[int, str, bytes]:
    return status, "application/json", msgspec.json.encode(content)


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the role decides when to stop."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
