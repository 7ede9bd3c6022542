"""The relay: the spools of the data directory into Kafka."""

from __future__ import annotations

import asyncio
import os
from functools import partial
from typing import Any

from weir_cli.kafka import kafka_settings, relay_settings
from weir_cli.roles.context import RoleContext
from weir_cli.roles.reporting import report_forever
from weir_streams.kafka.publisher import Publisher
from weir_streams.kafka.relay import Relay


async def run(context: RoleContext) -> None:
    """Relay until told to stop, then what is left.

    Raises:
        SystemExit: With code 1, when events are left that could not be delivered in time.
    """
    relay = relay_of(context)
    reporting = asyncio.create_task(
        report_forever(context.data_dir.internal_socket, lambda: _report(context, relay))
    )
    try:
        remaining = await relay.run(context.stop.stopping)
    finally:
        reporting.cancel()
    if remaining:
        context.logger.error(
            "events are left in the spool; the next start delivers them",
            remaining=remaining,
            reason=relay.status.last_error,
        )
        raise SystemExit(1)


def relay_of(context: RoleContext) -> Relay:
    """The relay of the context's data directory.

    Raises:
        SettingsError: The ``[kafka]`` table does not fit together.
    """
    options = context.settings.kafka
    relay = relay_settings(options)
    return Relay(
        context.data_dir.root,
        connect=partial(Publisher.open, kafka_settings(options), relay),
        settings=relay,
        clock=context.clock,
        logger=context.logger,
    )


def _report(context: RoleContext, relay: Relay) -> dict[str, Any]:
    return {
        "worker": context.name,
        "role": "relay",
        "pid": os.getpid(),
        "edge_id": context.settings.edge_id,
        "namespace": context.settings.edge_namespace,
        "revision": 0,
        "plugins": {},
        "lag_events": relay.status.lag_events,
    }
