"""The relay's limit on bytes a second."""

from __future__ import annotations

from tests.streams.support import ManualClock

from weir_streams.kafka.pace import Pace


class Sleeper:
    """Sleeping moves the clock and nothing else."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.slept = 0.0

    async def __call__(self, seconds: float) -> None:
        self.slept += seconds
        self.clock.advance(seconds)


async def test_a_backlog_is_sent_at_the_rate_that_was_asked_for() -> None:
    sleep = Sleeper()
    pace = Pace(1000, sleep.clock, sleep)
    for _ in range(100):
        await pace.spend(500)
    # A second's worth goes at once, and the last piece is owed.
    assert 48.0 <= sleep.slept <= 49.0


async def test_a_piece_larger_than_a_seconds_worth_is_paid_for_afterwards() -> None:
    sleep = Sleeper()
    pace = Pace(1000, sleep.clock, sleep)
    await pace.spend(5000)
    assert sleep.slept == 0
    await pace.spend(1)
    assert sleep.slept == 4


async def test_quiet_times_save_up_no_more_than_a_second() -> None:
    sleep = Sleeper()
    pace = Pace(1000, sleep.clock, sleep)
    sleep.clock.advance(3600)
    await pace.spend(3000)
    await pace.spend(1)
    assert sleep.slept == 2


async def test_zero_is_no_limit() -> None:
    sleep = Sleeper()
    pace = Pace(0, sleep.clock, sleep)
    await pace.spend(10**12)
    await pace.spend(10**12)
    assert sleep.slept == 0
