"""When a window raises an alert."""

from __future__ import annotations

from decimal import Decimal

import pytest
from tests.streams.windows.bench import LENGTH_S, NOON_S

from weir_streams.windows.rules import AppWindow, LlmWindow, Rules, app_alerts, llm_alerts


def of_app(cost_nano: int, earlier_nano: tuple[int, ...] = ()) -> AppWindow:
    return AppWindow(NOON_S, 7, "USD", cost_nano, earlier_nano, requests=9, errors=1)


@pytest.mark.parametrize(("cost_nano", "raised"), [(999_999_999, 0), (10**9, 1), (2 * 10**9, 1)])
def test_spend_at_the_limit_raises_an_alert(cost_nano: int, raised: int) -> None:
    found = list(app_alerts(Rules(spend_nano=10**9), of_app(cost_nano), LENGTH_S))
    assert [alert.kind for alert in found] == ["spend"] * raised


def test_without_limits_there_are_no_alerts() -> None:
    assert not list(app_alerts(Rules(), of_app(10**15, (1,) * 12), LENGTH_S))
    assert not list(llm_alerts(Rules(), LlmWindow(NOON_S, 3, 100, 100), LENGTH_S))


@pytest.mark.parametrize(("cost_nano", "raised"), [(600, 0), (601, 1)])
def test_more_than_so_many_times_the_moving_average_is_a_spike(cost_nano: int, raised: int) -> None:
    rules = Rules(spike_factor=Decimal("3.0"), spike_windows=3)
    found = list(app_alerts(rules, of_app(cost_nano, (100, 200, 300)), LENGTH_S))
    assert [alert.kind for alert in found] == ["spike"] * raised


def test_an_app_with_too_few_earlier_windows_has_no_spike() -> None:
    rules = Rules(spike_factor=Decimal("3.0"), spike_windows=3)
    assert not list(app_alerts(rules, of_app(10**9, (1, 1)), LENGTH_S))


@pytest.mark.parametrize(
    ("requests", "errors", "raised"), [(19, 19, 0), (20, 1, 0), (20, 2, 1), (1000, 99, 0), (1000, 100, 1)]
)
def test_a_share_of_errors_raises_an_alert_once_there_are_enough_requests(
    requests: int, errors: int, raised: int
) -> None:
    rules = Rules(error_rate=Decimal("0.1"), error_requests=20)
    found = list(llm_alerts(rules, LlmWindow(NOON_S, 3, requests, errors), LENGTH_S))
    assert [alert.kind for alert in found] == ["error_rate"] * raised


def test_an_alert_names_what_crossed_which_limit_and_where() -> None:
    [alert] = app_alerts(Rules(spend_nano=10**9), of_app(1_500_000_000), LENGTH_S)
    assert (alert.scope, alert.scope_id, alert.value, alert.limit, alert.currency) == (
        "app",
        7,
        "1.5",
        "1",
        "USD",
    )
    assert alert.text == "app 7 spent 1.5 USD in 60 s: at least 1"


def test_the_same_crossing_has_the_same_id_whatever_it_has_grown_to() -> None:
    rules = Rules(spend_nano=10**9)
    [first] = app_alerts(rules, of_app(10**9), LENGTH_S)
    [later] = app_alerts(rules, of_app(5 * 10**9), LENGTH_S)
    [next_window] = app_alerts(rules, of_app(10**9)._replace(start_s=NOON_S + LENGTH_S), LENGTH_S)
    assert first.alert_id == later.alert_id != next_window.alert_id
