"""What control does for edge payloads: hosts the studio plugins and delivers to them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Final

import structlog
from prometheus_client import CollectorRegistry

from weir_cli.beside import running_beside
from weir_cli.kafka import instance_name, open_event_log
from weir_cli.payload_metrics import DeliveryMetrics
from weir_cli.roles.context import RoleContext
from weir_cli.spools import dead_letter_notices, open_side_spool
from weir_collectors.errors import DatabaseUnavailableError
from weir_control.leading import Leader
from weir_control.service import ControlService
from weir_control.studio.runtime import STUDIO_HOOKS, Studio
from weir_core.snapshot import Snapshot
from weir_host.host import PluginHost
from weir_host.limits import HostLimits
from weir_streams.offsets import known_groups
from weir_streams.payloads import RESULT_GROUPS

_SHOW_EVERY_S: Final = 5.0


async def run_studio(
    context: RoleContext, service: ControlService, leader: Leader | None, opened: AsyncExitStack
) -> None:
    """Deliver until ``opened`` is left; where there is a ``leader``, only while this process leads."""
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

    async def deliver() -> None:
        studio = service.studio(
            log=log,
            spool=spool,
            make_host=partial(_make_host, context),
            name=context.name,
            logger=structlog.get_logger("weir.studio"),
            notices=dead_letter_notices(context, spool),
        )
        async with asyncio.TaskGroup() as jobs:
            jobs.create_task(studio.run())
            jobs.create_task(_show_forever(studio, DeliveryMetrics(CollectorRegistry())))

    delivering = deliver() if leader is None else leader.while_leading(deliver)
    await opened.enter_async_context(running_beside([delivering]))


async def _show_forever(studio: Studio, metrics: DeliveryMetrics) -> None:
    while True:
        # The next look says it again; that the database is away is in the log already.
        with suppress(DatabaseUnavailableError):
            metrics.show(studio.status, await studio.counts())
        await asyncio.sleep(_SHOW_EVERY_S)


def _make_host(context: RoleContext, snapshot: Callable[[], Snapshot]) -> PluginHost:
    settings = context.settings
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
        limits=HostLimits(memory_bytes=settings.plugin_memory_bytes),
    )


def _result_groups(root: Path) -> Collection[str]:
    """Who counts results at the edges that read this spool in place."""
    return [group for group in known_groups(root) if group.startswith(RESULT_GROUPS)]
