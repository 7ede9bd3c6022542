"""Control: the management API, the publication of the configuration, and the delivery of edge payloads.

Beside proxies and collectors in ``weir serve`` it publishes into files of the data directory and takes the
other children's reports on a unix socket. Where several gateways share a Postgres and a Kafka, one control
process among them leads: it alone publishes into the topics and delivers.
"""

from __future__ import annotations

import socket
from contextlib import AsyncExitStack
from functools import partial
from importlib.metadata import version
from typing import Any

from prometheus_client import CollectorRegistry
from sqlalchemy.ext.asyncio import AsyncEngine

from weir_cli.asgi import serve_until
from weir_cli.beside import running_beside
from weir_cli.bootstrap import database_url
from weir_cli.control_app import ControlApp
from weir_cli.control_metrics import ControlMetrics
from weir_cli.kafka import instance_name, kafka_settings, shares_configuration
from weir_cli.listener_tls import listener_tls
from weir_cli.listening import is_loopback
from weir_cli.roles.context import RoleContext
from weir_cli.roles.studio import run_studio
from weir_collectors.database import create_engine
from weir_control.exchange import ReportExchange
from weir_control.leading import Leader
from weir_control.outlets import FileOutlet
from weir_control.publisher import Publisher
from weir_control.service import ControlService
from weir_control.store.leadership import Leadership
from weir_control.store.store import Store
from weir_host.probe import probe
from weir_streams.config_feed import FileConfigFeed
from weir_streams.kafka.config_publisher import ConfigPublisher


async def run(context: RoleContext) -> None:
    """Serve the gateway of one data directory until told to stop."""
    management, reports = context.listeners
    async with AsyncExitStack() as opened:
        store = Store(_engine(context, opened), context.keyring, context.clock)
        feed = FileConfigFeed(context.data_dir.config, context.keyring, context.logger)
        service = await _start(context, store, Publisher(store, FileOutlet(feed)), opened)
        leader = None
        if shares_configuration(context.settings):
            leader = _lead(context, store.engine, opened)
            await _publish(_into_topics(context, store, leader, opened), opened)
            await _exchange_reports(context, store, service, opened)
        await run_studio(context, service, leader, opened)
        apps = {management: service.app, reports: service.internal_app}
        await serve_until(context.stop.stopping, apps)


async def run_alone(context: RoleContext) -> None:
    """Serve an installation whose other roles are elsewhere, until told to stop."""
    management, reports, *admin = context.listeners
    async with AsyncExitStack() as opened:
        store = Store(_engine(context, opened), context.keyring, context.clock)
        leader = _lead(context, store.engine, opened)
        publisher = _into_topics(context, store, leader, opened)
        service = await _start(context, store, publisher, opened)
        await _exchange_reports(context, store, service, opened)
        await run_studio(context, service, leader, opened)
        registry = CollectorRegistry()
        metrics = ControlMetrics(registry, leader, publisher)
        await opened.enter_async_context(running_beside([metrics.show_forever()]))
        apps: dict[socket.socket, Any] = {
            management: ControlApp(service.app, registry, is_public=not is_loopback(management)),
            reports: service.internal_app,
        }
        apps |= {listener: ControlApp(service.app, registry, is_public=False) for listener in admin}
        await serve_until(context.stop.stopping, apps, listener_tls(context.settings))


def _engine(context: RoleContext, opened: AsyncExitStack) -> AsyncEngine:
    engine = create_engine(database_url(context.settings, context.data_dir))
    opened.push_async_callback(engine.dispose)
    return engine


async def _start(
    context: RoleContext, store: Store, publisher: Publisher, opened: AsyncExitStack
) -> ControlService:
    try_out = partial(
        probe, plugin_modules=context.settings.plugin_modules, plugin_dirs=context.settings.plugin_dirs
    )
    service = ControlService(store, publisher, try_out, version("weir-gateway"))
    await service.start()
    opened.push_async_callback(service.stop)
    return service


def _lead(context: RoleContext, engine: AsyncEngine, opened: AsyncExitStack) -> Leader:
    leader = Leader(Leadership(engine, instance_name(context.data_dir.root, context.name)))
    leader.start()
    opened.push_async_callback(leader.stop)
    return leader


def _into_topics(context: RoleContext, store: Store, leader: Leader, opened: AsyncExitStack) -> Publisher:
    topics = ConfigPublisher(kafka_settings(context.settings.kafka), context.keyring, context.clock)
    opened.push_async_callback(topics.close)
    return Publisher(store, topics, leader=leader)


async def _exchange_reports(
    context: RoleContext, store: Store, service: ControlService, opened: AsyncExitStack
) -> None:
    place = instance_name(context.data_dir.root, context.name)
    exchange = ReportExchange(store.engine, service.workers, place)
    await opened.enter_async_context(running_beside([exchange.run()]))


async def _publish(publisher: Publisher, opened: AsyncExitStack) -> None:
    await publisher.start()
    opened.push_async_callback(publisher.stop)
