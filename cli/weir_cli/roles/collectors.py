"""The collectors: their groups over the event log, with their plugins and the database."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import Any, Final

import msgspec
import structlog
from prometheus_client import CollectorRegistry
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from weir_cli.beside import running_beside
from weir_cli.bootstrap import database_url
from weir_cli.collector_defaults import with_elasticsearch_url
from weir_cli.collector_metrics import CollectorMetrics
from weir_cli.following import ConfigFollower
from weir_cli.kafka import instance_name, kafka_settings, open_event_log, open_ranges, topic_retention_s
from weir_cli.listener_tls import listener_tls
from weir_cli.role_health import HealthApp, serve_health
from weir_cli.roles.bookkeeping import Bookkeeping
from weir_cli.roles.context import RoleContext
from weir_cli.roles.edge_payloads import edge_payloads
from weir_cli.roles.relay import relay_of
from weir_cli.roles.reporting import report_forever
from weir_cli.spool_watch import SpoolWatch
from weir_cli.spools import dead_letter_notices, open_side_spool, spool_settings, with_kafka
from weir_collectors.accountant import AccountantStatus
from weir_collectors.consuming import GroupSettings
from weir_collectors.database import create_engine
from weir_collectors.status import WorkerStatus
from weir_collectors.worker import CollectorWorker, WorkerSettings
from weir_control.store.reports import write_reports
from weir_control.workers import Report
from weir_core.garbage import spare_the_collector
from weir_core.snapshot import Snapshot
from weir_host.host import PluginHost
from weir_host.limits import HostLimits
from weir_streams.backlog import SpoolBacklog
from weir_streams.config_feed import ConfigFeed, FileConfigFeed
from weir_streams.kafka.config_topic import ConfigTopic

_Reporting = Callable[[Callable[[], dict[str, Any]]], Coroutine[Any, Any, None]]

_SHOW_EVERY_S: Final = 1.0
_REPORT_EVERY_S: Final = 2.0
_MEASURE_EVERY_S: Final = 2.0


async def run(context: RoleContext) -> None:
    """Consume beside the gateway of the data directory until told to stop, then finish what is in hand."""
    feed = FileConfigFeed(context.data_dir.config, context.keyring, context.logger)
    await _run(context, feed, lambda report: report_forever(context.data_dir.internal_socket, report))


async def run_alone(context: RoleContext) -> None:
    """Consume as ``run`` does, with a configuration from Kafka, and a relay where there is no gateway's."""
    settings = context.settings
    feed = FileConfigFeed(context.data_dir.config / context.name, context.keyring, context.logger)
    topic = ConfigTopic(kafka_settings(settings.kafka), context.keyring, settings.edge_namespace)
    follower = ConfigFollower(topic, feed, settings.edge_namespace, context.logger)
    engine = create_engine(database_url(settings, context.data_dir))
    async with AsyncExitStack() as opened:
        opened.push_async_callback(engine.dispose)
        await opened.enter_async_context(running_beside([follower.run()]))
        if not context.data_dir.lock.exists():
            # There is no gateway here whose relay delivers what plugins send. What is left over at the end
            # follows after the next start.
            await opened.enter_async_context(running_beside([_relay_forever(context)]))
        await _run(context, feed, partial(_report_to_database, context, engine))


async def _relay_forever(context: RoleContext) -> None:
    await relay_of(context).run(asyncio.Event())


async def _run(
    context: RoleContext,
    config: FileConfigFeed,
    reporting: _Reporting,
) -> None:
    settings = context.settings
    registry = CollectorRegistry()
    async with AsyncExitStack() as opened:
        engine = create_engine(database_url(settings, context.data_dir))
        opened.push_async_callback(engine.dispose)
        feed = _NamespaceFeed(config, settings.edge_namespace, settings.elasticsearch_url)
        # Nothing of this spool is a request's, so that no observer reads it.
        spool = open_side_spool(context, tuple)
        opened.callback(spool.close)
        payloads = await opened.enter_async_context(edge_payloads(context, spool, registry))
        host = PluginHost(
            runtime="gateway",
            hook_types=frozenset(("data_collection",)),
            gateway_reads=feed.current,
            plugin_modules=settings.plugin_modules,
            plugin_dirs=settings.plugin_dirs,
            payloads=payloads,
            edge_id=settings.edge_id,
            edge_namespace=settings.edge_namespace,
            logger=structlog.get_logger("weir.plugins"),
            clock=context.clock,
            limits=HostLimits(memory_bytes=settings.plugin_memory_bytes),
        )
        opened.push_async_callback(host.close)
        log = open_event_log(
            settings.kafka,
            context.data_dir.root,
            instance=instance_name(context.data_dir.root, context.name),
            clock=context.clock,
            logger=context.logger,
        )
        opened.push_async_callback(log.close)
        worker = CollectorWorker(
            name=instance_name(context.data_dir.root, context.name),
            log=log,
            reader=open_ranges(settings.kafka, context.data_dir.root, context.clock),
            feed=feed,
            host=host,
            engine=engine,
            clock=context.clock,
            logger=context.logger,
            settings=WorkerSettings(
                groups=GroupSettings(retention_s=topic_retention_s(settings), grace_s=settings.shutdown_grace)
            ),
            notices=dead_letter_notices(context, spool),
        )
        books = Bookkeeping(context, engine, log)
        context.stop.unfinished = lambda: _unfinished(worker.status(), books.accountant)
        watching = _watching(context, registry, worker, host, books, reporting)
        await opened.enter_async_context(running_beside(watching))
        spare_the_collector()
        await books.run_beside(worker.run, context.stop.stopping)


class _NamespaceFeed:
    """A feed bound to the namespace that this installation serves, and to its Elasticsearch."""

    def __init__(self, feed: ConfigFeed, namespace: str, elasticsearch_url: str | None) -> None:
        self._feed = feed
        self._namespace = namespace
        self._elasticsearch_url = elasticsearch_url

    def current(self) -> Snapshot:
        return self._completed(self._feed.current(self._namespace) or Snapshot(0))

    async def wait_newer(self, revision: int, /) -> Snapshot:
        return self._completed(await self._feed.wait_newer(revision, self._namespace))

    def _completed(self, snapshot: Snapshot) -> Snapshot:
        return with_elasticsearch_url(snapshot, self._elasticsearch_url)


def _watching(
    context: RoleContext,
    registry: CollectorRegistry,
    worker: CollectorWorker,
    host: PluginHost,
    books: Bookkeeping,
    reporting: _Reporting,
) -> Iterator[Coroutine[Any, Any, None]]:
    """What runs beside the work: its report, its metrics, and its health where it has a port."""
    spool = None
    if not with_kafka(context.settings):
        # With Kafka the relay is the one that the spools wait for.
        settings = spool_settings(context.settings)
        spool = SpoolWatch(registry, retention_s=settings.retention_s, logger=context.logger)
        yield _watch_spools(context, SpoolBacklog(context.data_dir.root, settings.required_groups), spool)
    yield reporting(lambda: _report(context, worker, host, spool) | books.report())
    yield _show_forever(context, worker, books, CollectorMetrics(registry))
    for listener in context.listeners:
        app = HealthApp(lambda: _reasons(worker.status()), registry)
        yield serve_health(app, listener, context.stop.hurried, listener_tls(context.settings))


async def _show_forever(
    context: RoleContext, worker: CollectorWorker, books: Bookkeeping, metrics: CollectorMetrics
) -> None:
    while True:
        metrics.show(worker.status(), books.accountant, books.removed, context.clock.wall_us())
        await asyncio.sleep(_SHOW_EVERY_S)


async def _report_to_database(
    context: RoleContext, engine: AsyncEngine, report: Callable[[], dict[str, Any]]
) -> None:
    """Leave the report where every control process finds it, under a name that no other machine has."""
    name = instance_name(context.data_dir.root, context.name)
    while True:
        with suppress(SQLAlchemyError, OSError):
            told = msgspec.convert(report() | {"worker": name}, Report, strict=False)
            await write_reports(engine, [told])
        await asyncio.sleep(_REPORT_EVERY_S)


async def _watch_spools(context: RoleContext, backlog: SpoolBacklog, spool: SpoolWatch) -> None:
    while True:
        try:
            spool.see(await asyncio.to_thread(backlog.measure), context.clock.wall_us())
        except OSError as error:
            context.logger.warning("spools cannot be measured", error=str(error))
        await asyncio.sleep(_MEASURE_EVERY_S)


def _reasons(status: WorkerStatus) -> list[str]:
    if status.revision is None:
        return ["no configuration has been read yet"]
    return [f"{group.group}: {group.last_error}" for group in status.kinds if group.last_error is not None]


def _unfinished(status: WorkerStatus, accountant: AccountantStatus) -> list[str]:
    sums = [f"{accountant.lag} events are not in the sums"] if accountant.lag else []
    return sums + [
        f"{group.group}: {group.lag} events are not committed" for group in status.kinds if group.lag
    ]


def _report(
    context: RoleContext, worker: CollectorWorker, host: PluginHost, spool: SpoolWatch | None
) -> dict[str, Any]:
    return {
        "worker": context.name,
        "role": "collectors",
        "pid": os.getpid(),
        "edge_id": context.settings.edge_id,
        "namespace": context.settings.edge_namespace,
        "revision": worker.status().revision or 0,
        "collecting": msgspec.to_builtins(worker.status()),
        "spool": None if spool is None else msgspec.to_builtins(spool.status),
        "plugins": host.report(),
    }
