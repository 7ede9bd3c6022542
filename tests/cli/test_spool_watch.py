"""The alarm on events that wait too long in the spools."""

from __future__ import annotations

from prometheus_client import CollectorRegistry
from structlog.testing import CapturingLogger

from weir_cli.spool_watch import SpoolWatch
from weir_streams.backlog import Backlog, SpoolStatus

HOUR_US = 3600 * 1_000_000


def test_past_half_of_the_retention_it_alarms_once_until_it_is_in_time_again() -> None:
    registry, logger = CollectorRegistry(), CapturingLogger()
    watch = SpoolWatch(registry, retention_s=24 * 3600, logger=logger)  # type: ignore[arg-type]
    backlog = Backlog(events=3, size=900, oldest_us=0)
    watch.see(backlog, 11 * HOUR_US)
    assert (logger.calls, watch.status.late) == ([], False)
    for hours in (12.5, 13):
        watch.see(backlog, round(hours * HOUR_US))
    assert watch.status == SpoolStatus(3, 900, 13 * 3600, late=True)
    assert registry.get_sample_value("weir_spool_late") == 1
    assert registry.get_sample_value("weir_spool_oldest_seconds") == 13 * 3600
    watch.see(Backlog(), 14 * HOUR_US)
    assert watch.status == SpoolStatus()
    assert registry.get_sample_value("weir_spool_waiting_events") == 0
    said = [(call.method_name, call.args[0]) for call in logger.calls]
    assert said == [("error", "spool late"), ("warning", "spool in time again")]
