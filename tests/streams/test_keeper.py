"""The thread beside the hot path: its chores and their turn."""

from __future__ import annotations

from tests.streams.support import ManualClock

from weir_streams.keeper import Chore, Keeper


def test_chores_come_due_each_in_its_own_time() -> None:
    clock, done = ManualClock(), list[str]()
    keeper = Keeper(
        (Chore(lambda: done.append("often"), 0, 0), Chore(lambda: done.append("rarely"), 10, 5)),
        clock,
        lambda error: None,
    )
    keeper.tick()
    assert done == ["often"]
    clock.advance(5)
    keeper.tick()
    assert done == ["often", "often", "rarely"]
    clock.advance(9)
    keeper.tick()
    clock.advance(1)
    keeper.tick()
    assert done.count("rarely") == 2


def test_a_chore_that_fails_is_told_and_does_not_stop_the_others() -> None:
    failures: list[Exception] = []
    done: list[str] = []

    def fail() -> None:
        raise OSError("no")

    keeper = Keeper(
        (Chore(fail, 0, 0), Chore(lambda: done.append("next"), 0, 0)), ManualClock(), failures.append
    )
    keeper.tick()
    keeper.tick()
    assert [str(failure) for failure in failures] == ["no", "no"]
    assert done == ["next", "next"]


def test_a_stopped_keeper_has_ended_its_thread() -> None:
    keeper = Keeper((), ManualClock(), lambda error: None)
    keeper.start()
    keeper.wake()
    keeper.stop()
    assert not keeper._thread.is_alive()
    assert keeper.reason == ""
