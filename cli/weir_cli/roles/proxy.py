"""A proxy worker: spool, plugins and configuration feed, and the data plane over them."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from contextlib import AsyncExitStack
from functools import partial
from typing import Final

import structlog
from prometheus_client import CollectorRegistry

from weir_cli.listener_tls import listener_tls
from weir_cli.listening import is_loopback
from weir_cli.roles.context import RoleContext
from weir_cli.roles.edge_payloads import edge_payloads
from weir_cli.roles.reporting import report_forever
from weir_cli.spools import spool_settings, with_kafka
from weir_collectors.groups import observer_groups
from weir_host.host import PluginHost
from weir_host.limits import HostLimits
from weir_proxy.server import ProxyOptions, ProxyWorker
from weir_streams.config_feed import FileConfigFeed
from weir_streams.spool import Spool

_HOOK_TYPES: Final = frozenset(("pre_auth", "auth", "post_auth", "on_response"))


async def run(context: RoleContext) -> None:
    """Serve the port, and the admin listener where there is one, until told to stop.

    Every call is recorded before the spool is closed. Management requests are handed to control.
    """
    await _run(context, control_socket=str(context.data_dir.control_socket))


async def run_alone(context: RoleContext) -> None:
    """Serve calls as ``run`` does, where control is not on this machine."""
    await _run(context, control_socket=None)


async def _run(context: RoleContext, *, control_socket: str | None) -> None:
    settings = context.settings
    listener, *admin = context.listeners
    registry = CollectorRegistry()
    async with AsyncExitStack() as opened:
        feed = FileConfigFeed(context.data_dir.config, context.keyring, context.logger)
        spool = Spool.open(
            context.data_dir.root,
            settings=spool_settings(settings),
            clock=context.clock,
            logger=context.logger,
            needed_groups=tuple
            if with_kafka(settings)
            else partial(_observers, feed, settings.edge_namespace),
            owner=context.name,
        )
        opened.callback(spool.close)
        payloads = await opened.enter_async_context(edge_payloads(context, spool, registry))
        host = PluginHost(
            runtime="gateway",
            hook_types=_HOOK_TYPES,
            gateway_reads=lambda: worker.snapshot,
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
        worker = ProxyWorker(
            _options(context, control_socket, is_public=not is_loopback(listener)),
            spool=spool,
            host=host,
            feed=feed,
            clock=context.clock,
            registry=registry,
        )
        for task in (
            asyncio.create_task(_stop_on_request(context, worker)),
            asyncio.create_task(report_forever(context.data_dir.internal_socket, worker.status)),
        ):
            opened.callback(task.cancel)
        await worker.run(listener, *admin, tls=listener_tls(settings))


def _observers(feed: FileConfigFeed, namespace: str) -> Collection[str] | None:
    snapshot = feed.current(namespace)
    return None if snapshot is None else observer_groups(snapshot)


def _options(context: RoleContext, control_socket: str | None, *, is_public: bool) -> ProxyOptions:
    settings = context.settings
    return ProxyOptions(
        worker=context.name,
        edge_id=settings.edge_id,
        edge_namespace=settings.edge_namespace,
        control_socket=control_socket,
        max_request_bytes=settings.max_request_bytes,
        max_response_bytes=settings.max_response_bytes,
        header_timeout_s=settings.header_timeout,
        body_timeout_s=settings.body_timeout,
        shutdown_grace_s=settings.shutdown_grace,
        capture_bytes=settings.body_capture_bytes,
        sync_always=settings.spool.sync == "always",
        anonymous_events_per_second=settings.anonymous_log_limit,
        is_public=is_public,
    )


async def _stop_on_request(context: RoleContext, worker: ProxyWorker) -> None:
    await context.stop.stopping.wait()
    worker.stop()
    await context.stop.hurried.wait()
    worker.hurry()
