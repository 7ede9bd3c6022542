"""Groups that are so far behind that the log may lose what they have not read."""

from __future__ import annotations

from typing import Any

from structlog.testing import CapturingLogger

from weir_collectors.counters import GroupCounters
from weir_collectors.lateness import LateWatch


def test_past_half_of_the_retention_a_group_is_late_until_it_has_caught_up() -> None:
    group, logger = GroupCounters(), CapturingLogger()
    watch = LateWatch(group, retention_s=100.0, logger=logger)  # type: ignore[arg-type]
    watch.watch(50.0)
    assert (group.lag_s, group.late, logger.calls) == (50.0, False, [])
    for lag_s in (51.0, 80.0):
        watch.watch(lag_s)
        assert (group.lag_s, group.late) == (lag_s, True)
    watch.watch(0.0)
    assert not group.late
    said = [(call.method_name, call.args[0]) for call in logger.calls]
    assert said == [("error", "group late"), ("warning", "group in time again")]


def test_where_the_log_keeps_events_until_they_are_read_nobody_is_late(logger: Any) -> None:
    group = GroupCounters()
    LateWatch(group, retention_s=None, logger=logger).watch(1e9)
    assert not group.late
