"""What a relay counts. Names are documented in docs/metrics.md."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

from weir_streams.kafka.relay import RelayStatus


class RelayMetrics:
    """A relay's status as Prometheus metrics; ``show`` brings them up to date."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._events = Counter("weir_relay_events_total", "Events delivered to Kafka.", registry=registry)
        self._bytes = Counter("weir_relay_bytes_total", "Bytes of their values.", registry=registry)
        self._failures = Counter(
            "weir_relay_failures_total", "Times that the relay had to go back.", registry=registry
        )
        self._restamped = Counter(
            "weir_relay_restamped_total",
            "Events that went with another time than their own, which Kafka had refused.",
            registry=registry,
        )
        self._set_aside = Counter(
            "weir_relay_set_aside_total", "Events that Kafka refused in every form.", registry=registry
        )
        self._aside = Gauge(
            "weir_relay_refused_bytes",
            "Bytes of the events that Kafka refused and that nobody has sent again.",
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._lag = Gauge(
            "weir_relay_lag_events",
            "Events in the spools that are not delivered.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._age = Gauge(
            "weir_relay_lag_seconds",
            "How long the oldest of them has waited.",
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._connected = Gauge(
            "weir_relay_connected",
            "1 while the relay has a producer that has not failed.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._shown = RelayStatus()

    def show(self, status: RelayStatus, wall_us: int) -> None:
        """Add what has happened since the last call; ``wall_us`` is now, for ages."""
        shown = self._shown
        self._events.inc(status.sent_events - shown.sent_events)
        self._bytes.inc(status.sent_bytes - shown.sent_bytes)
        self._failures.inc(status.deliveries_failed - shown.deliveries_failed)
        self._restamped.inc(status.events_restamped - shown.events_restamped)
        self._set_aside.inc(status.events_set_aside - shown.events_set_aside)
        self._aside.set(status.bytes_aside)
        self._lag.set(status.backlog.events)
        self._age.set(status.backlog.age_s(wall_us))
        self._connected.set(status.connected)
        self._shown = status
