"""The alarm on what waits in the spools: metrics, an error in the log, and the report to control.

Names of metrics are documented in docs/metrics.md.
"""

from __future__ import annotations

from typing import Literal

from prometheus_client import CollectorRegistry, Gauge
from structlog.typing import FilteringBoundLogger

from weir_streams.backlog import Backlog, SpoolStatus


class SpoolWatch:
    """Judges each backlog that it is shown. It only tells: nothing is dropped for being late.

    Args:
        registry: Gets the metrics.
        retention_s: What the spool keeps; half of it is late.
        logger: Told when it becomes late, and when it is not any more.
    """

    def __init__(
        self, registry: CollectorRegistry, *, retention_s: float, logger: FilteringBoundLogger
    ) -> None:
        self.status = SpoolStatus()
        self._late_after_s = retention_s / 2
        self._logger = logger
        self._events = _gauge(registry, "waiting_events", "Events that are not consumed.", "livesum")
        self._bytes = _gauge(registry, "waiting_bytes", "Bytes of their records.", "livesum")
        self._age = _gauge(registry, "oldest_seconds", "How long the oldest of them has waited.", "livemax")
        self._late = _gauge(
            registry, "late", "1 while that is past half of the spool's retention.", "livemax"
        )

    def see(self, backlog: Backlog, now_us: int) -> None:
        """Take the newest figures; ``now_us`` is the wall clock's time."""
        age_s = backlog.age_s(now_us)
        before, late = self.status.late, age_s > self._late_after_s
        self.status = SpoolStatus(backlog.events, backlog.size, round(age_s, 3), late)
        self._events.set(backlog.events)
        self._bytes.set(backlog.size)
        self._age.set(age_s)
        self._late.set(late)
        if late and not before:
            self._logger.error(
                "spool late",
                waiting_events=backlog.events,
                oldest_s=round(age_s),
                advice="events wait for longer than half of spool.retention_hours; weir doctor says for whom",
            )
        elif before and not late:
            self._logger.warning("spool in time again", waiting_events=backlog.events)


def _gauge(registry: CollectorRegistry, name: str, text: str, mode: Literal["livesum", "livemax"]) -> Gauge:
    return Gauge(f"weir_spool_{name}", text, registry=registry, multiprocess_mode=mode)
