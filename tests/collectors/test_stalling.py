"""Groups that have work and do not get on with it."""

from __future__ import annotations

from typing import Any

from weir_collectors.counters import GroupCounters
from weir_collectors.stalling import StallWatch


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def watching(group: GroupCounters, logger: Any) -> tuple[StallWatch, Time]:
    time = Time()
    return StallWatch(group, after_s=10.0, monotonic=time, logger=logger), time


def test_a_group_with_lag_that_commits_nothing_is_stuck_once_until_it_commits(logger: Any) -> None:
    group = GroupCounters()
    watch, time = watching(group, logger)
    for time.now in (5.0, 9.9):
        watch.watch(3)
        assert not group.stuck
    for time.now in (10.0, 20.0, 30.0):
        watch.watch(3)
        assert (group.stuck, group.stalls) == (True, 1)
    group.commits += 1
    watch.watch(2)
    assert not group.stuck
    time.now = 40.0
    watch.watch(2)
    assert (group.stuck, group.stalls) == (True, 2)


def test_a_group_without_lag_is_never_stuck(logger: Any) -> None:
    group = GroupCounters()
    watch, time = watching(group, logger)
    time.now = 100.0
    watch.watch(0)
    time.now = 105.0
    watch.watch(1)
    assert not group.stuck


def test_a_slow_group_that_commits_now_and_then_is_not_stuck(logger: Any) -> None:
    group = GroupCounters()
    watch, time = watching(group, logger)
    for step in range(1, 10):
        time.now = 9.0 * step
        group.commits += 1
        watch.watch(1000)
    assert group.stalls == 0
