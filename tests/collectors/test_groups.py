"""Which groups a configuration needs."""

from __future__ import annotations

from tests.fakes.gateway_events import plugin

from weir_collectors.groups import observer_groups
from weir_core.snapshot import Snapshot


def test_every_active_observer_needs_a_group_for_each_kind_and_nobody_else_does() -> None:
    snapshot = Snapshot(
        1,
        [
            plugin(1, "decider"),
            plugin(2, "watcher", observer=True),
            plugin(3, "asleep", observer=True, is_active=False),
            plugin(4, "guard", observer=True, hook_types=("auth",)),
        ],
    )
    assert observer_groups(snapshot) == {
        "weir.observer.watcher.proxy-log",
        "weir.observer.watcher.analytics",
        "weir.observer.watcher.budget-usage",
    }
