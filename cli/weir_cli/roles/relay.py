"""The relay: the spools of the data directory into Kafka."""

from __future__ import annotations

import asyncio
import copy
import os
from collections.abc import Coroutine, Iterator
from functools import partial
from typing import Any, Final

import msgspec
from prometheus_client import CollectorRegistry

from weir_cli.beside import running_beside
from weir_cli.kafka import kafka_settings, relay_settings
from weir_cli.listener_tls import listener_tls
from weir_cli.relay_metrics import RelayMetrics
from weir_cli.role_health import HealthApp, serve_health
from weir_cli.roles.context import RoleContext
from weir_cli.roles.reporting import report_forever
from weir_cli.spool_watch import SpoolWatch
from weir_cli.spools import spool_settings
from weir_streams.kafka.publisher import Publisher
from weir_streams.kafka.relay import Relay, RelayStatus

_SHOW_EVERY_S: Final = 1.0


async def run(context: RoleContext) -> None:
    """Relay until told to stop, then what is left.

    Raises:
        SystemExit: With code 1, when events are left that could not be delivered in time.
    """
    relay = relay_of(context)
    context.stop.unfinished = lambda: _unfinished(relay.status)
    async with running_beside(_watching(context, relay)):
        remaining = await relay.run(context.stop.stopping)
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


def _watching(context: RoleContext, relay: Relay) -> Iterator[Coroutine[Any, Any, None]]:
    """What runs beside the relay: its report, its metrics, and its health where it has a port."""
    registry = CollectorRegistry()
    spool = SpoolWatch(
        registry, retention_s=spool_settings(context.settings).retention_s, logger=context.logger
    )
    yield report_forever(context.data_dir.internal_socket, lambda: _report(context, spool))
    yield _show_forever(context, relay, RelayMetrics(registry), spool)
    for listener in context.listeners:
        app = HealthApp(lambda: _reasons(relay.status), registry)
        yield serve_health(app, listener, context.stop.hurried, listener_tls(context.settings))


async def _show_forever(context: RoleContext, relay: Relay, metrics: RelayMetrics, spool: SpoolWatch) -> None:
    while True:
        now_us = context.clock.wall_us()
        metrics.show(copy.copy(relay.status), now_us)
        spool.see(relay.status.backlog, now_us)
        await asyncio.sleep(_SHOW_EVERY_S)


def _reasons(status: RelayStatus) -> list[str]:
    return [] if status.connected else [status.last_error or "not connected to Kafka yet"]


def _unfinished(status: RelayStatus) -> list[str]:
    events = status.backlog.events
    return [f"{events} events are not delivered; they stay in the spool"] if events else []


def _report(context: RoleContext, spool: SpoolWatch) -> dict[str, Any]:
    return {
        "worker": context.name,
        "role": "relay",
        "pid": os.getpid(),
        "edge_id": context.settings.edge_id,
        "namespace": context.settings.edge_namespace,
        "revision": 0,
        "plugins": {},
        "spool": msgspec.to_builtins(spool.status),
    }
