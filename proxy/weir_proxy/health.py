"""``/health``, ``/ready`` and ``/metrics`` of a worker."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from weir_host.host import PluginHost
from weir_proxy.client import ClientRequest
from weir_proxy.gateway import Gateway
from weir_proxy.metrics import Metrics
from weir_proxy.plain import document, plain_answer


async def health(client: ClientRequest) -> None:
    """200 as long as the process can answer at all."""
    await client.answer(*document(200, {"status": "ok"}))


class Readiness:
    """200 when a configuration is loaded, the spool can be written, and every required plugin runs.

    Args:
        gateway: Has the configuration and the spool.
        host: Runs the plugins.
        stopping: Whether the worker is.
        unreadable: Why the configuration cannot be read; empty when it can.
    """

    def __init__(
        self,
        gateway: Gateway,
        host: PluginHost,
        stopping: Callable[[], bool],
        unreadable: Callable[[], str],
    ) -> None:
        self._gateway = gateway
        self._host = host
        self._stopping = stopping
        self._unreadable = unreadable

    async def __call__(self, client: ClientRequest) -> None:
        """Answer 200, or 503 with the reasons; plugin states are in the body either way."""
        reasons = self._reasons()
        content: dict[str, Any] = {
            "status": "ready" if not reasons else "not ready",
            "reasons": reasons,
            "revision": self._gateway.configuration.snapshot.revision,
            "plugins": [
                {"id": plugin_id, "state": state.state, "reason": state.reason}
                for plugin_id, state in sorted(self._host.states().items())
            ],
        }
        await client.answer(*document(200 if not reasons else 503, content))

    def _reasons(self) -> list[str]:
        configuration = self._gateway.configuration
        reasons = []
        if self._stopping():
            reasons.append("stopping")
        if not configuration.is_loaded:
            why = self._unreadable()
            reasons.append("no configuration loaded yet" + (f": {why}" if why else ""))
        if not self._gateway.spool.healthy:
            reasons.append(f"the spool cannot be written: {self._gateway.spool.reason}")
        states = self._host.states()
        for plugin in configuration.snapshot.plugins.values():
            state = states.get(plugin.id)
            if (
                plugin.required_for_ready
                and plugin.is_active
                and (state is None or state.state not in ("ready", "degraded"))
            ):
                reasons.append(f"plugin {plugin.name} is {state.state if state else 'not started'}")
        return reasons


class MetricsEndpoint:
    """Prometheus text; of all processes when ``PROMETHEUS_MULTIPROC_DIR`` is set, of this one otherwise."""

    def __init__(self, registry: CollectorRegistry, metrics: Metrics) -> None:
        self._registry = registry
        self._metrics = metrics

    async def __call__(self, client: ClientRequest) -> None:
        """Collect and answer."""
        self._metrics.flush()
        registry = self._registry
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # untyped upstream
        await client.answer(*plain_answer(200, generate_latest(registry), CONTENT_TYPE_LATEST))
