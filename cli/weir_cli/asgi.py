"""Serving an ASGI application on a socket that is bound already, for as long as its role runs."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import uvicorn

_GRACE_S: Final = 3
IDLE_S: Final = 75
"""Seconds that every server keeps an idle connection: longer than the proxies, which reuse theirs, so that a
request never meets one that is just being closed."""


async def serve_until(stop: asyncio.Event, apps: Mapping[socket.socket, Any]) -> None:
    """Serve each application on its socket until ``stop``, then let requests finish for a moment."""
    servers = {listener: _Server(_config(app)) for listener, app in apps.items()}
    async with asyncio.TaskGroup() as group:
        for listener, server in servers.items():
            group.create_task(server.serve(sockets=[listener]))
        await stop.wait()
        for server in servers.values():
            server.should_exit = True


def _config(app: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="none",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_S,
        timeout_keep_alive=IDLE_S,
    )


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the role decides when to stop."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
