"""Finding a consumer that stands still."""

from __future__ import annotations

from tests.streams.windows.bench import PARTITION, HeldClock

from weir_streams.log import Bounds
from weir_streams.windows.stalling import StallWatch, lag


def watch() -> tuple[StallWatch, HeldClock]:
    clock = HeldClock()
    return StallWatch(10, clock.monotonic), clock


def test_work_without_progress_is_a_stall_after_a_while() -> None:
    stall, clock = watch()
    assert not stall.stalled(5, 100)
    clock.since_start_s = 9
    assert not stall.stalled(7, 100)
    clock.since_start_s = 10
    assert stall.stalled(7, 100)


def test_progress_starts_the_time_anew() -> None:
    stall, clock = watch()
    for at_s in range(0, 40, 5):
        clock.since_start_s = at_s
        assert not stall.stalled(7, at_s)


def test_nothing_to_do_and_a_log_that_is_away_are_no_stalls() -> None:
    stall, clock = watch()
    for at_s, found in ((0, 0), (20, None), (40, 0), (60, None)):
        clock.since_start_s = at_s
        assert not stall.stalled(found, 100)


def test_lag_is_what_is_kept_and_not_read() -> None:
    ends = {PARTITION: Bounds(5, 20)}
    assert (lag(ends, {}), lag(ends, {PARTITION: 18}), lag(ends, {PARTITION: 20})) == (15, 2, 0)
