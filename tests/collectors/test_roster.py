"""Which plugins decide under a configuration."""

from __future__ import annotations

import pytest
from tests.collectors.conftest import QUICK, never_opens
from tests.fakes.gateway_events import llm, plugin
from tests.fakes.plugin_host import FakeHost

from weir_collectors.errors import UnsupportedCollectorError
from weir_collectors.kinds import EventKind
from weir_collectors.roster import Roster, check_collector
from weir_core.errors import InvalidInputError
from weir_core.objects import Plugin
from weir_core.snapshot import Snapshot


@pytest.fixture
def roster(host: FakeHost) -> Roster:
    return Roster(host, QUICK, never_opens)


def slugs(roster: Roster) -> list[str]:
    return [collector.plugin.slug for collector in roster.deciding(EventKind.ANALYTICS)]


def test_active_data_collection_plugins_decide(roster: Roster) -> None:
    roster.appoint(
        Snapshot(
            1,
            [
                plugin(1, "a"),
                plugin(2, "inactive", is_active=False),
                plugin(3, "guard", hook_types=("auth",)),
                plugin(4, "b", hook_types=("auth", "data_collection")),
            ],
        )
    )
    assert slugs(roster) == ["a", "b"]


def test_a_collector_is_restricted_to_the_llms_it_is_attached_to(roster: Roster) -> None:
    roster.appoint(Snapshot(1, [plugin(1, "some"), plugin(2, "all"), llm(5, 1), llm(6, 1), llm(7)]))
    some, everything = roster.deciding(EventKind.PROXY_LOG)
    assert some.llm_ids == {5, 6}
    assert everything.llm_ids == frozenset()


def test_an_unchanged_collector_goes_on_as_the_same_object(roster: Roster) -> None:
    roster.appoint(Snapshot(1, [plugin(1, "same"), plugin(2, "changed"), plugin(3, "attached")]))
    before = roster.deciding(EventKind.PROXY_LOG)
    roster.appoint(
        Snapshot(2, [plugin(1, "same"), plugin(2, "changed", window=7), plugin(3, "attached"), llm(5, 3)])
    )
    after = roster.deciding(EventKind.PROXY_LOG)
    assert [old is new for old, new in zip(before, after, strict=True)] == [True, False, False]


def test_who_is_dismissed_is_not_asked_any_more_and_who_is_new_not_yet(roster: Roster) -> None:
    roster.appoint(Snapshot(1, [plugin(1, "stays"), plugin(2, "goes"), plugin(3, "sleeps")]))
    later = Snapshot(2, [plugin(1, "stays"), plugin(3, "sleeps", is_active=False), plugin(4, "comes")])
    roster.dismiss(later)
    assert slugs(roster) == ["stays"]
    roster.appoint(later)
    assert slugs(roster) == ["stays", "comes"]


def test_a_collector_that_cannot_be_served_as_asked_is_refused_with_the_reason(roster: Roster) -> None:
    roster.appoint(Snapshot(1, [plugin(1, "hurried", timeout_ms=0), plugin(2, "sink")]))
    assert slugs(roster) == ["sink"]
    assert [item.slug for item in roster.plugins] == ["hurried", "sink"]
    assert "timeout_ms" in roster.refused[1]


@pytest.mark.parametrize(
    ("refused", "field", "error"),
    [
        (plugin(runtime="studio"), "runtime", UnsupportedCollectorError),
        (plugin(timeout_ms=0), "collector.timeout_ms", InvalidInputError),
        (plugin(max_tries=0), "collector.max_tries", InvalidInputError),
        (plugin(window=0), "collector.window", InvalidInputError),
        (plugin(max_lag=0), "collector.max_lag", InvalidInputError),
    ],
)
def test_options_that_would_not_be_kept_to_are_refused_by_name(
    refused: Plugin, field: str, error: type[InvalidInputError]
) -> None:
    with pytest.raises(error) as caught:
        check_collector(refused)
    assert caught.value.field == field


@pytest.mark.parametrize("accepted", [plugin(), plugin(observer=True, max_lag=1), plugin(on_outage="pause")])
def test_options_that_can_be_kept_to_are_accepted(accepted: Plugin) -> None:
    check_collector(accepted)


def test_an_observer_never_decides_and_is_found_by_its_name(roster: Roster) -> None:
    roster.appoint(Snapshot(1, [plugin(1, "watcher", observer=True), plugin(2, "sink")]))
    assert slugs(roster) == ["sink"]
    assert [item.plugin.slug for item in roster.observing(EventKind.ANALYTICS, "watcher")] == ["watcher"]
    assert roster.observing(EventKind.ANALYTICS, "sink") == ()
    assert roster.observers() == {"watcher"}
