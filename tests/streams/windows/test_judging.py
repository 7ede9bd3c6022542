"""Alerts that are found in the store and kept there until they have arrived."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from tests.streams.windows.bench import LENGTH_S, NOON_S, add, new_store, record

from weir_streams.windows.judging import Judge
from weir_streams.windows.rules import Rules

NOW_US = (NOON_S + LENGTH_S) * 1_000_000
TWO_CALLS = Rules(spend_nano=2_000_000)


def kinds(judge: Judge) -> list[str]:
    return [kept.alert.kind for kept in judge.waiting("published")]


def test_a_crossing_raises_one_alert_though_the_window_grows(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    judge = Judge(store, TWO_CALLS, posts=True)
    raised = []
    for offset in range(4):
        add(store, record(offset, llm_id=offset))
        raised.append(judge.judge(NOW_US))
    assert raised == [0, 1, 0, 0]
    assert kinds(judge) == ["spend"]


def test_each_window_that_crosses_raises_its_own(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    judge = Judge(store, TWO_CALLS, posts=True)
    add(store, *(record(offset, NOON_S + offset // 2 * LENGTH_S) for offset in range(6)))
    assert judge.judge(NOW_US) == 3


def test_a_killed_process_raises_none_again_and_loses_none(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    add(store, record(0), record(1))
    assert Judge(store, TWO_CALLS, posts=True).judge(NOW_US) == 1
    judge = Judge(new_store(tmp_path), TWO_CALLS, posts=True)
    assert judge.judge(NOW_US) == 0
    assert kinds(judge) == ["spend"]


def test_an_alert_waits_until_it_has_arrived_at_each_of_its_places(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    judge = Judge(store, TWO_CALLS, posts=True)
    add(store, record(0), record(1))
    judge.judge(NOW_US)
    judge.arrived("published", judge.waiting("published"))
    assert judge.waiting("published") == []
    assert len(judge.waiting("posted")) == 1
    judge.arrived("posted", judge.waiting("posted"))
    assert judge.waiting("posted") == []


def test_where_nothing_is_posted_nothing_waits_for_it(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    judge = Judge(store, TWO_CALLS, posts=False)
    add(store, record(0), record(1))
    assert judge.judge(NOW_US) == 1
    assert judge.waiting("posted") == []


def test_a_window_of_hours_ago_raises_none(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    judge = Judge(store, TWO_CALLS, posts=True)
    add(store, record(0), record(1))
    assert judge.judge(NOW_US + 2 * 3600 * 1_000_000) == 0


def test_a_spike_is_measured_by_the_last_windows_with_spend(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    judge = Judge(store, Rules(spike_factor=Decimal("2.0"), spike_windows=2), posts=True)
    quiet = [record(0, NOON_S - 9 * LENGTH_S), record(1, NOON_S - 5 * LENGTH_S)]
    add(store, *quiet, record(2, NOON_S, cost="0"), record(3, NOON_S + LENGTH_S, cost="0.002"))
    assert judge.judge(NOW_US) == 0
    add(store, record(4, NOON_S + LENGTH_S, cost="0.000000001"))
    assert judge.judge(NOW_US) == 1
    assert kinds(judge) == ["spike"]


def test_errors_are_added_up_over_the_apps_of_an_llm(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    judge = Judge(store, Rules(error_rate=Decimal("0.5"), error_requests=4), posts=True)
    add(store, *(record(offset, app_id=offset, outcome="upstream_error") for offset in range(2)))
    assert judge.judge(NOW_US) == 0
    add(store, *(record(offset, app_id=offset) for offset in range(2, 4)))
    assert judge.judge(NOW_US) == 1
    [kept] = judge.waiting("published")
    assert (kept.alert.scope, kept.alert.scope_id, kept.alert.value) == ("llm", 3, "0.5000")
