"""What the streams app counts. Names are documented in docs/metrics.md."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

from weir_cli.lag_shown import lag_shown
from weir_streams.windows.status import StreamsStatus


class StreamsMetrics:
    """The app's status as Prometheus metrics; ``show`` brings them up to date."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._events = Counter(
            "weir_streams_events_total",
            "Events read, by what became of them.",
            ("result",),
            registry=registry,
        )
        self._windows = Counter(
            "weir_streams_windows_published_total", "Windows sent to weir.spend.v1.", registry=registry
        )
        self._alerts = Counter(
            "weir_streams_alerts_total", "Alerts, by what became of them.", ("result",), registry=registry
        )
        self._lag = Gauge("weir_streams_lag_events", "Events that are not in windows.", registry=registry)
        self._lag.set(lag_shown(None))
        self._caught_up = Gauge(
            "weir_streams_caught_up", "1 once all is read that was there at the start.", registry=registry
        )
        self._stalled = Gauge(
            "weir_streams_stalled", "1 while events wait and none is read.", registry=registry
        )
        self._shown = StreamsStatus()

    def show(self, status: StreamsStatus) -> None:
        """Add what has happened since the last call."""
        shown, self._shown = self._shown, status
        for result in ("added", "repeated", "late", "undecodable"):
            self._events.labels(result).inc(getattr(status, result) - getattr(shown, result))
        for result, name in _ALERT_RESULTS.items():
            self._alerts.labels(result).inc(getattr(status, name) - getattr(shown, name))
        self._windows.inc(status.published - shown.published)
        self._caught_up.set(status.caught_up)
        self._stalled.set(status.stalled is not None)
        if status.lag is not None:
            self._lag.set(status.lag)


_ALERT_RESULTS = {
    "raised": "alerts",
    "posted": "posted",
    "post_failed": "post_failures",
    "given_up": "alerts_given_up",
}
