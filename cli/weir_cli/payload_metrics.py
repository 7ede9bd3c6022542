"""What becomes of edge payloads, at the edge and in control. Names are documented in docs/metrics.md."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge

from weir_cli.growing import Growing
from weir_control.studio.dispatching import DispatchStatus
from weir_control.studio.inbox import PayloadState


class DeliveryMetrics:
    """Control's side: what waits in its database and what was delivered."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._waiting = _gauge(registry, "waiting", "Payloads that control has and no plugin has taken.")
        self._dead = _gauge(registry, "dead", "Payloads that were given up, until they are redriven.")
        self._results = Growing(
            Counter(
                "weir_edge_payloads_total",
                "Tries to deliver a payload, by what came of them.",
                ("result",),
                registry=registry,
            )
        )

    def show(self, status: DispatchStatus, counts: Mapping[str, int]) -> None:
        """Add what has happened since the last call; ``counts`` are the database's, by state."""
        self._waiting.set(counts.get(PayloadState.WAITING, 0))
        self._dead.set(counts.get(PayloadState.FAILED, 0))
        self._results.to(status.handled, "delivered")
        self._results.to(status.failed_tries, "failed")
        self._results.to(status.dead_letters, "dead")


def _gauge(registry: CollectorRegistry, state: str, text: str) -> Gauge:
    # Several replicas of control count the same database.
    return Gauge(f"weir_edge_payloads_{state}", text, registry=registry, multiprocess_mode="livemax")
