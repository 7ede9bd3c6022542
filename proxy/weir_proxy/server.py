"""A proxy worker: its parts wired, its configuration followed, its listener served until told to stop."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import ssl
from dataclasses import dataclass
from typing import Any

import structlog
from prometheus_client import CollectorRegistry

from weir_core.clock import Clock
from weir_core.errors import WeirError
from weir_core.garbage import spare_the_collector
from weir_core.snapshot import Snapshot
from weir_host.host import PluginHost
from weir_proxy.app import Endpoint, OtherPaths, ProxyApp
from weir_proxy.configuration import Configuration
from weir_proxy.gateway import Gateway
from weir_proxy.handover import Handover, NoManagement
from weir_proxy.health import MetricsEndpoint, Readiness, health
from weir_proxy.hooks import HookPipeline
from weir_proxy.http_server import HttpServer
from weir_proxy.metrics import Metrics
from weir_proxy.protocol import ClientDeadlines
from weir_proxy.recorder import Recorder
from weir_proxy.stream_end import StreamEnds
from weir_proxy.upstream import Upstream
from weir_streams.config_feed import ConfigFeed
from weir_streams.spool import Spool

_log = structlog.get_logger("weir.proxy")


@dataclass(frozen=True, slots=True)
class ProxyOptions:
    """What an admin sets; seconds and bytes.

    ``control_socket`` None: control is on another machine. ``is_public``: others than this machine reach the
    listener.
    """

    worker: str
    edge_id: str
    edge_namespace: str
    control_socket: str | None
    max_request_bytes: int = 32 * 1024 * 1024
    max_response_bytes: int = 64 * 1024 * 1024
    header_timeout_s: float = 10.0
    body_timeout_s: float = 30.0
    shutdown_grace_s: float = 30.0
    capture_bytes: int = 256 * 1024
    sync_always: bool = False
    anonymous_events_per_second: int = 100
    is_public: bool = False


class ProxyWorker:
    """One worker process's data plane.

    The caller opens and closes ``spool`` and ``host``; the worker owns the upstream pool and the line to
    control.
    """

    def __init__(
        self,
        options: ProxyOptions,
        *,
        spool: Spool,
        host: PluginHost,
        feed: ConfigFeed,
        clock: Clock,
        registry: CollectorRegistry,
    ) -> None:
        self._options = options
        self._spool = spool
        self._host = host
        self._feed = feed
        self._clock = clock
        self._registry = registry
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._gateway = self._open_gateway()

    @property
    def snapshot(self) -> Snapshot:
        """The revision in force."""
        return self._gateway.configuration.snapshot

    def stop(self) -> None:
        """Begin to stop: no new connections, calls in flight finish within the grace."""
        self._stop.set()

    def hurry(self) -> None:
        """Stop without waiting for calls in flight; they are recovered at the next start."""
        self._hurry.set()

    def status(self) -> dict[str, Any]:
        """What this worker has applied and how its plugins are, for control; refreshes its gauges, too."""
        self._gateway.metrics.in_flight(self._gateway.spool.in_flight)
        return {
            "worker": self._options.worker,
            "role": "proxy",
            "pid": os.getpid(),
            "edge_id": self._options.edge_id,
            "namespace": self._options.edge_namespace,
            "revision": self.snapshot.revision,
            "plugins": self._host.report(),
        }

    async def run(
        self,
        listener: socket.socket,
        admin: socket.socket | None = None,
        *,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Serve both listeners until ``stop`` is called and every call has been recorded.

        Args:
            listener: Where the calls come in.
            admin: Has metrics and the management API, and no model calls.
            tls: What both speak; None is plain HTTP.
        """
        options = self._options
        handover = Handover(options.control_socket) if options.control_socket else NoManagement()
        following = asyncio.create_task(self._follow_configuration())
        following.add_done_callback(self._stop_on_failure)
        spare_the_collector()
        try:
            async with asyncio.TaskGroup() as serving:
                serving.create_task(self._serve(self._app(handover), listener, tls))
                if admin is not None:
                    serving.create_task(self._serve(self._others(handover, is_public=False), admin, tls))
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            await self._gateway.stream_ends.close(0 if self._hurry.is_set() else options.shutdown_grace_s)
            await handover.close()
            await self._gateway.upstream.close()
            self._gateway.metrics.flush()

    def _stop_on_failure(self, task: asyncio.Task[None]) -> None:
        """A worker that no longer follows the configuration had better be started anew."""
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a part of the worker failed, it stops", error=repr(error))
            self._stop.set()

    def _open_gateway(self) -> Gateway:
        options, metrics = self._options, Metrics(self._registry)
        snapshot = self._feed.current(options.edge_namespace) or Snapshot(0)
        hooks = HookPipeline(self._host, metrics.plugin_failed)
        return Gateway(
            configuration=Configuration(snapshot),
            spool=self._spool,
            upstream=Upstream.open(options.max_response_bytes),
            hooks=hooks,
            stream_ends=StreamEnds(hooks),
            recorder=Recorder(
                self._spool,
                metrics,
                capture_limit=options.capture_bytes,
                sync_always=options.sync_always,
                anonymous_per_second=options.anonymous_events_per_second,
            ),
            metrics=metrics,
            clock=self._clock,
            edge_id=options.edge_id,
            edge_namespace=options.edge_namespace,
            max_request_bytes=options.max_request_bytes,
            max_response_bytes=options.max_response_bytes,
            capture_limit=options.capture_bytes,
        )

    async def _serve(self, app: Endpoint, listener: socket.socket, tls: ssl.SSLContext | None) -> None:
        options = self._options
        deadlines = ClientDeadlines(headers_s=options.header_timeout_s, body_s=options.body_timeout_s)
        server = HttpServer(app, deadlines, grace_s=options.shutdown_grace_s, tls=tls)
        await server.run(listener, stop=self._stop, hurry=self._hurry)

    def _app(self, handover: Handover | NoManagement) -> ProxyApp:
        return ProxyApp(self._gateway, self._others(handover, is_public=self._options.is_public))

    def _others(self, handover: Handover | NoManagement, *, is_public: bool) -> OtherPaths:
        endpoints: dict[str, Endpoint] = {
            "/health": health,
            "/ready": Readiness(self._gateway, self._host, self._stop.is_set, lambda: self._feed.reason),
            "/metrics": MetricsEndpoint(self._registry, self._gateway.metrics),
        }
        return OtherPaths(handover, endpoints, is_public=is_public)

    async def _follow_configuration(self) -> None:
        """Apply each newer revision: plugins first, for a moment, then one swap of the reference."""
        gateway = self._gateway
        seen = gateway.configuration.snapshot.revision
        await self._host.apply(gateway.configuration.snapshot)
        while True:
            snapshot = await self._feed.wait_newer(seen, self._options.edge_namespace)
            seen = snapshot.revision
            try:
                configuration = Configuration(snapshot, gateway.configuration)
            except (WeirError, re.error) as error:
                _log.error(
                    "a configuration was refused, the last one goes on", revision=seen, error=str(error)
                )
                continue
            await self._host.apply(snapshot)
            gateway.configuration = configuration
            _log.info("configuration applied", revision=seen)
