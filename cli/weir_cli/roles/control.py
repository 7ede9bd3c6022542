"""Control: the management API and the workers' reports, each on its own unix socket, and publication."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from importlib.metadata import version
from typing import Any

import uvicorn

from weir_cli.bootstrap import database_url
from weir_cli.roles.context import RoleContext
from weir_collectors.database import create_engine
from weir_control.service import ControlService
from weir_control.store.store import Store
from weir_host.probe import probe
from weir_streams.config_feed import FileConfigFeed

_GRACE_S = 3


async def run(context: RoleContext) -> None:
    """Serve until told to stop, then let requests finish for a moment."""
    async with AsyncExitStack() as opened:
        engine = create_engine(database_url(context.settings, context.data_dir))
        opened.push_async_callback(engine.dispose)
        service = ControlService(
            Store(engine, context.keyring, context.clock),
            FileConfigFeed(context.data_dir.config, context.keyring, context.logger),
            partial(
                probe,
                plugin_modules=context.settings.plugin_modules,
                plugin_dirs=context.settings.plugin_dirs,
            ),
            version("weir-gateway"),
        )
        await service.start()
        opened.push_async_callback(service.stop)
        management, reports = context.listeners
        await _serve_until(
            context.stop.stopping, {management: _server(service.app), reports: _server(service.internal_app)}
        )


async def _serve_until(stop: asyncio.Event, servers: Mapping[socket.socket, _Server]) -> None:
    async with asyncio.TaskGroup() as group:
        for listener, server in servers.items():
            group.create_task(server.serve(sockets=[listener]))
        await stop.wait()
        for server in servers.values():
            server.should_exit = True


def _server(app: Any) -> _Server:
    return _Server(
        uvicorn.Config(
            app,
            loop="none",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_GRACE_S,
        )
    )


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the child decides when to stop."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
