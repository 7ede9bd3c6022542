"""Serving an ASGI application on a socket that is bound already, for as long as its role runs."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import uvicorn

_GRACE_S: Final = 3
IDLE_S: Final = 75
"""Seconds that every server keeps an idle connection: longer than the proxies, which reuse theirs, so that a
request never meets one that is just being closed."""


async def serve_until(
    stop: asyncio.Event, apps: Mapping[socket.socket, Any], tls: ssl.SSLContext | None = None
) -> None:
    """Serve each application on its socket until ``stop``, then let requests finish for a moment.

    Args:
        tls: What is spoken on TCP; on unix sockets nothing is encrypted.
    """
    servers = {
        listener: _Server(_config(app, None if listener.family == socket.AF_UNIX else tls))
        for listener, app in apps.items()
    }
    async with asyncio.TaskGroup() as group:
        for listener, server in servers.items():
            group.create_task(server.serve(sockets=[listener]))
        await stop.wait()
        for server in servers.values():
            server.should_exit = True


def _config(app: Any, tls: ssl.SSLContext | None) -> uvicorn.Config:
    config = uvicorn.Config(
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
    # It makes contexts of files only, and looks at this one once it has been loaded.
    config.load()
    config.ssl = tls
    return config


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the role decides when to stop."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
