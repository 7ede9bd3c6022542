"""What a collectors process counts. Names are documented in docs/metrics.md."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge

from weir_cli.growing import Growing
from weir_cli.lag_shown import lag_shown
from weir_collectors.accountant import AccountantStatus
from weir_collectors.groups import observer_group
from weir_collectors.kinds import EventKind
from weir_collectors.status import CollectorStatus, GroupStatus, WorkerStatus


class CollectorMetrics:
    """A collectors process's status as Prometheus metrics; ``show`` brings them up to date."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._of_collectors = _OfCollectors(registry)
        self._of_groups = _OfGroups(registry)
        self._of_accountant = _OfAccountant(registry)
        self._removed = Growing(
            Counter(
                "weir_retention_removed_total",
                "Rows that retention removed from the database.",
                ("table",),
                registry=registry,
            )
        )

    def show(
        self, status: WorkerStatus, accountant: AccountantStatus, removed: Mapping[str, int], wall_us: int
    ) -> None:
        """Add what has happened since the last call.

        Args:
            status: Of the groups and collectors.
            accountant: Of the accountant.
            removed: Rows that retention removed, by table.
            wall_us: Now, for ages.
        """
        groups = {group.group: group for group in (*status.kinds, *status.observers)}
        for group in groups.values():
            self._of_groups.show(group)
        for collector in status.collectors:
            self._of_collectors.show(collector, groups)
        self._of_accountant.show(accountant, wall_us)
        for table, rows in removed.items():
            self._removed.to(rows, table)


class _OfCollectors:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._lag = Gauge(
            "weir_collector_lag_events",
            "Events that wait for the collector's group.",
            ("collector", "kind"),
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._breaker = Gauge(
            "weir_collector_breaker_open",
            "1 while the collector's sink is away.",
            ("collector", "kind"),
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._events = Growing(
            Counter(
                "weir_collector_events_total",
                "Events that a collector was to take, by what became of them.",
                ("collector", "result"),
                registry=registry,
            )
        )
        self._stored = Growing(
            Counter(
                "weir_collector_stored_total",
                "Of a collector's events, those that went to the database.",
                ("collector",),
                registry=registry,
            )
        )
        self._letters = Growing(
            Counter(
                "weir_collector_dead_letters_total",
                "Events that a collector gave up on.",
                ("collector",),
                registry=registry,
            )
        )

    def show(self, status: CollectorStatus, groups: dict[str, GroupStatus]) -> None:
        open_kinds = {breaker.kind for breaker in status.breakers}
        for kind in EventKind:
            group = groups.get(observer_group(status.name, kind) if status.observer else kind.group)
            self._lag.labels(status.name, kind.value).set(0 if group is None else lag_shown(group.lag))
            self._breaker.labels(status.name, kind.value).set(kind.value in open_kinds)
        for result in ("handled", "passed", "failed", "skipped", "redriven"):
            self._events.to(getattr(status, result), status.name, result)
        self._stored.to(status.stored, status.name)
        self._letters.to(status.failed, status.name)


class _OfGroups:
    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ("group", "kind")
        self._lag = Gauge(
            "weir_collectors_lag_events",
            "Events that a group has not committed.",
            labels,
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._lag_s = Gauge(
            "weir_collectors_lag_seconds",
            "How old the oldest event is that a group has not finished.",
            labels,
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._late = Gauge(
            "weir_collectors_late",
            "1 while that is past half of what the log keeps.",
            labels,
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._stuck = Gauge(
            "weir_collectors_stuck",
            "1 while a group has lag and gets on with nothing.",
            labels,
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._age = Gauge(
            "weir_collectors_event_age_seconds",
            "How old a group's last event was when it was decided and kept.",
            labels,
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._counters = {
            name: Growing(Counter(f"weir_collectors_{name}_total", text, labels, registry=registry))
            for name, text in (
                ("decided", "Events that a group has decided about."),
                ("stored", "Of those, the ones that nobody handled."),
                ("undecodable", "Records that are no events."),
                ("stalls", "Times that a group was found stuck."),
                ("restarts", "Times that a group had to join anew."),
                ("overruns", "Times that an observer was moved to the end of the log."),
            )
        }

    def show(self, status: GroupStatus) -> None:
        labels = status.group, status.kind
        self._lag.labels(*labels).set(lag_shown(status.lag))
        self._lag_s.labels(*labels).set(status.lag_s)
        self._late.labels(*labels).set(status.late)
        self._stuck.labels(*labels).set(status.stuck)
        if status.age_s is not None:
            self._age.labels(*labels).set(status.age_s)
        for name, counter in self._counters.items():
            counter.to(getattr(status, name), *labels)


class _OfAccountant:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._lag = Gauge(
            "weir_accountant_lag_events",
            "Events that are not in the sums.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._age = Gauge(
            "weir_accountant_age_seconds",
            "Seconds since the sums were last known to hold all that was logged.",
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._late = Gauge(
            "weir_accountant_late",
            "1 while that is past half of what the log keeps.",
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._events = Growing(
            Counter(
                "weir_accountant_events_total",
                "Events that the accountant met, by what it made of them.",
                ("result",),
                registry=registry,
            )
        )

    def show(self, status: AccountantStatus, wall_us: int) -> None:
        self._lag.set(lag_shown(status.lag))
        if status.as_of_us is not None:
            self._age.set(max(0, wall_us - status.as_of_us) / 1_000_000)
        self._late.set(status.late)
        for result in ("added", "repeated", "undecodable"):
            self._events.to(getattr(status, result), result)
