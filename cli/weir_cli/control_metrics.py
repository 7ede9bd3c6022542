"""What a control process says of itself. Names are documented in docs/metrics.md."""

from __future__ import annotations

import asyncio
from typing import Final

from prometheus_client import CollectorRegistry, Gauge

from weir_control.leading import Leader
from weir_control.publisher import Publisher

_SHOW_EVERY_S: Final = 1.0


class ControlMetrics:
    """Gauges of leadership and publication.

    Args:
        registry: Gets them.
        leader: Says whether this process leads.
        publisher: Says what is published.
    """

    def __init__(self, registry: CollectorRegistry, leader: Leader, publisher: Publisher) -> None:
        self._leader = leader
        self._publisher = publisher
        self._leading = Gauge(
            "weir_control_leading",
            "1 while this control process publishes and delivers.",
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._revision = Gauge(
            "weir_control_published_revision",
            "The newest revision that proxies can see.",
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._failing = Gauge(
            "weir_control_publication_failing",
            "1 while the newest revision cannot be published.",
            registry=registry,
            multiprocess_mode="livemax",
        )

    def show(self) -> None:
        """Bring the gauges up to date."""
        self._leading.set(self._leader.leadership.epoch is not None)
        self._revision.set(max(0, self._publisher.published_revision))
        self._failing.set(self._publisher.failure is not None)

    async def show_forever(self) -> None:
        """Bring them up to date every second until cancelled."""
        while True:
            self.show()
            await asyncio.sleep(_SHOW_EVERY_S)
