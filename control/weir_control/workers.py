"""What the other processes say of themselves: which revision they have applied, how their plugins are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from weir_collectors.accountant import AccountantStatus
from weir_collectors.status import WorkerStatus
from weir_core.clock import Clock
from weir_host.instance import State
from weir_streams.backlog import SpoolStatus

STALE_AFTER_S: Final = 10.0
"""Workers report every second; one that was silent for this long is stale."""

FORGOTTEN_AFTER_S: Final = 3600.0
"""A worker that was silent for this long is not known any more."""

_MAX_WORKERS: Final = 4096
_US: Final = 1_000_000


class PluginReport(msgspec.Struct, frozen=True):
    """One plugin in one worker; ``restarts`` counts how often it was lost and started anew."""

    state: State
    reason: str = ""
    restarts: int = 0


class Report(msgspec.Struct, frozen=True):
    """What a worker posts; fields this version does not know are ignored.

    ``plugins`` is keyed by plugin id; ``collecting`` and ``accountant`` come from the
    processes that run collectors, ``spool`` from the one that the spools of its edge wait for. ``place`` is
    filled in by a control process that passes on what an edge without an ``edge_id`` told it.
    """

    worker: str
    revision: int
    role: str = "proxy"
    pid: int | None = None
    edge_id: str = ""
    namespace: str = ""
    plugins: dict[int, PluginReport] = {}
    collecting: WorkerStatus | None = None
    accountant: AccountantStatus | None = None
    spool: SpoolStatus | None = None
    place: str = ""

    @property
    def edge(self) -> str:
        """What tells the worker from those of the same name elsewhere; empty on this machine."""
        return self.edge_id or self.place


_Key = tuple[str, str, str]


class Worker(msgspec.Struct, frozen=True):
    """A worker's last report and when it came."""

    report: Report
    seen_at_us: int
    seen_monotonic: float
    stale: bool


class Workers:
    """The last report of every worker, in memory: a new control process knows them all a second later."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: dict[_Key, tuple[Report, int, float]] = {}
        self._news: dict[_Key, Report] = {}

    def record(self, report: Report) -> None:
        """Take a report in the place of the worker's last one."""
        self.hear(report, 0.0)
        if _key(report) in self._seen:
            self._news[_key(report)] = report

    def hear(self, report: Report, age_s: float) -> None:
        """Take a report that came to another control process, unless a later one is known."""
        now, key = self._clock.monotonic(), _key(report)
        self._seen = {key: seen for key, seen in self._seen.items() if now - seen[2] < FORGOTTEN_AFTER_S}
        known = self._seen.get(key)
        if len(self._seen) < _MAX_WORKERS if known is None else known[2] <= now - age_s:
            self._seen[key] = (report, self._clock.wall_us() - round(age_s * _US), now - age_s)

    def take_news(self) -> list[Report]:
        """What was recorded since the last call; the last word of each worker."""
        news, self._news = self._news, {}
        return list(news.values())

    def all(self) -> list[Worker]:
        """Every worker of the last hour, in the order of their names."""
        now = self._clock.monotonic()
        return [
            Worker(report, wall_us, at, now - at >= STALE_AFTER_S)
            for _, (report, wall_us, at) in sorted(self._seen.items())
        ]

    def spool_of(self, edge_id: str) -> SpoolStatus | None:
        """What waits in the spools of an edge; None while nobody who reads them reports."""
        return next(
            (
                worker.report.spool
                for worker in self.all()
                if worker.report.edge_id == edge_id and worker.report.spool is not None and not worker.stale
            ),
            None,
        )

    def of_plugin(self, plugin_id: int, revision: int) -> Mapping[str, PluginReport]:
        """What the live workers say of a plugin, by worker.

        A worker that has not yet applied ``revision`` still speaks of the plugin as it was before its
        change: it is ``starting`` as far as the new one is concerned.
        """
        found = {}
        for worker in self.all():
            state = worker.report.plugins.get(plugin_id)
            if worker.stale or state is None:
                continue
            behind = worker.report.revision < revision
            found[_full_name(worker.report)] = (
                PluginReport("starting", "not applied yet", state.restarts) if behind else state
            )
        return found


def _key(report: Report) -> _Key:
    return (report.edge, report.role, report.worker)


def _full_name(report: Report) -> str:
    return f"{report.edge}/{report.worker}" if report.edge else report.worker
