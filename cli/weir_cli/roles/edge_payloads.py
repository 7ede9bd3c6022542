"""What a process at the edge needs so that its plugins can send to control."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Gauge

from weir_cli.kafka import instance_name, open_event_log
from weir_cli.roles.context import RoleContext
from weir_cli.spools import with_kafka
from weir_streams.embedded import EmbeddedLog
from weir_streams.kafka.event_log import KafkaEventLog
from weir_streams.payloads_pending import PendingPayloads
from weir_streams.payloads_results import ResultReader
from weir_streams.payloads_sending import PayloadSender
from weir_streams.spool import Spool

_SHOW_EVERY_S: Final = 1.0

CONTROL: Final = "control"
"""The name of the process whose spool has the results."""


@asynccontextmanager
async def edge_payloads(
    context: RoleContext, spool: Spool, registry: CollectorRegistry
) -> AsyncIterator[PayloadSender]:
    """Send into a process's own spool, and count what has no result yet, until left.

    ``registry`` gets that count as ``weir_edge_payloads_pending``.

    Raises:
        OSError: The spool cannot be read.
    """
    root = context.data_dir.root
    pending = PendingPayloads(root, context.name)
    await asyncio.to_thread(pending.recover, root / "spool" / spool.id, context.clock.monotonic)
    log = _result_log(context)
    results = ResultReader(
        log,
        instance_name(root, context.name),
        spool,
        pending,
        clock=context.clock,
        logger=structlog.get_logger("weir.edge_payloads"),
    )
    reading = asyncio.create_task(results.run())
    showing = asyncio.create_task(_show_forever(pending, registry))
    try:
        yield PayloadSender(
            spool,
            pending,
            edge_id=context.settings.edge_id,
            edge_namespace=context.settings.edge_namespace,
            clock=context.clock,
        )
    finally:
        for task in (reading, showing):
            task.cancel()
        await asyncio.gather(reading, showing, return_exceptions=True)
        await results.close()
        await log.close()


def pending_gauge(registry: CollectorRegistry) -> Gauge:
    """What the process has sent and has no result for."""
    return Gauge(
        "weir_edge_payloads_pending",
        "Payloads that the processes have sent and have no result for.",
        registry=registry,
        multiprocess_mode="livesum",
    )


async def _show_forever(pending: PendingPayloads, registry: CollectorRegistry) -> None:
    gauge = pending_gauge(registry)
    while True:
        gauge.set(pending.own)
        await asyncio.sleep(_SHOW_EVERY_S)


def _result_log(context: RoleContext) -> EmbeddedLog | KafkaEventLog:
    root = context.data_dir.root
    if with_kafka(context.settings):
        instance = instance_name(root, f"{context.name}-results")
        return open_event_log(
            context.settings.kafka, root, instance=instance, clock=context.clock, logger=context.logger
        )
    return EmbeddedLog(root, clock=context.clock, logger=context.logger, owner=CONTROL)
