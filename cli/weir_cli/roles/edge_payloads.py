"""What a process at the edge needs so that its plugins can send to control."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import structlog

from weir_cli.kafka import instance_name, open_event_log
from weir_cli.roles.context import RoleContext
from weir_cli.spools import with_kafka
from weir_streams.embedded import EmbeddedLog
from weir_streams.kafka.event_log import KafkaEventLog
from weir_streams.payloads_pending import PendingPayloads
from weir_streams.payloads_results import ResultReader
from weir_streams.payloads_sending import PayloadSender
from weir_streams.spool import Spool

CONTROL: Final = "control"
"""The name of the process whose spool has the results."""


@asynccontextmanager
async def edge_payloads(context: RoleContext, spool: Spool) -> AsyncIterator[PayloadSender]:
    """Send into a process's own spool, and count what has no result yet, until left.

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
    try:
        yield PayloadSender(
            spool,
            pending,
            edge_id=context.settings.edge_id,
            edge_namespace=context.settings.edge_namespace,
            clock=context.clock,
        )
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await results.close()
        await log.close()


def _result_log(context: RoleContext) -> EmbeddedLog | KafkaEventLog:
    root = context.data_dir.root
    if with_kafka(context.settings):
        instance = instance_name(root, f"{context.name}-results")
        return open_event_log(
            context.settings.kafka, root, instance=instance, clock=context.clock, logger=context.logger
        )
    return EmbeddedLog(root, clock=context.clock, logger=context.logger, owner=CONTROL)
