"""Control: the management API and the workers' reports, each on its own unix socket, and publication."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager, suppress
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import structlog
import uvicorn
from prometheus_client import CollectorRegistry

from weir_cli.bootstrap import database_url
from weir_cli.kafka import instance_name, open_event_log
from weir_cli.payload_metrics import DeliveryMetrics
from weir_cli.roles.context import RoleContext
from weir_cli.spools import open_side_spool
from weir_collectors.database import create_engine
from weir_collectors.errors import DatabaseUnavailableError
from weir_control.service import ControlService
from weir_control.store.store import Store
from weir_control.studio.runtime import STUDIO_HOOKS, Studio
from weir_core.snapshot import Snapshot
from weir_host.host import PluginHost
from weir_host.probe import probe
from weir_streams.config_feed import FileConfigFeed
from weir_streams.offsets import known_groups
from weir_streams.payloads import RESULT_GROUPS

_GRACE_S = 3
_SHOW_EVERY_S = 5.0


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
        await _run_studio(context, service, opened)
        management, reports = context.listeners
        await _serve_until(
            context.stop.stopping, {management: _server(service.app), reports: _server(service.internal_app)}
        )


async def _run_studio(context: RoleContext, service: ControlService, opened: AsyncExitStack) -> None:
    """Host the studio plugins and deliver to them until ``opened`` is left."""
    settings, root = context.settings, context.data_dir.root
    spool = open_side_spool(context, partial(_result_groups, root))
    opened.callback(spool.close)
    log = open_event_log(
        settings.kafka,
        root,
        instance=instance_name(root, context.name),
        clock=context.clock,
        logger=context.logger,
    )
    opened.push_async_callback(log.close)

    def make_host(snapshot: Callable[[], Snapshot]) -> PluginHost:
        return PluginHost(
            runtime="studio",
            hook_types=STUDIO_HOOKS,
            gateway_reads=snapshot,
            plugin_modules=settings.plugin_modules,
            plugin_dirs=settings.plugin_dirs,
            edge_id=settings.edge_id,
            edge_namespace=settings.edge_namespace,
            logger=structlog.get_logger("weir.plugins"),
            clock=context.clock,
        )

    studio = service.studio(
        log=log,
        spool=spool,
        make_host=make_host,
        name=context.name,
        logger=structlog.get_logger("weir.studio"),
    )
    jobs = [
        asyncio.create_task(studio.run()),
        asyncio.create_task(_show_forever(studio, DeliveryMetrics(CollectorRegistry()))),
    ]

    async def stop() -> None:
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)

    opened.push_async_callback(stop)


async def _show_forever(studio: Studio, metrics: DeliveryMetrics) -> None:
    while True:
        # The next look says it again; that the database is away is in the log already.
        with suppress(DatabaseUnavailableError):
            metrics.show(studio.status, await studio.counts())
        await asyncio.sleep(_SHOW_EVERY_S)


def _result_groups(root: Path) -> Collection[str]:
    """Who counts results at the edges that read this spool in place."""
    return [group for group in known_groups(root) if group.startswith(RESULT_GROUPS)]


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
