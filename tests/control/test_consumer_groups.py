"""How far the readers of events are, over the API."""

from __future__ import annotations

from typing import Any

import msgspec
from tests.control.conftest import World

from weir_collectors.accountant import AccountantStatus
from weir_collectors.status import GroupStatus, WorkerStatus
from weir_control.workers import Report


def group(kind: str, name: str, **changes: Any) -> GroupStatus:
    known = GroupStatus(
        kind=kind,
        group=name,
        lag=3,
        decided=10,
        stored=4,
        undecodable=0,
        restarts=0,
        overruns=0,
        last_error=None,
    )
    return msgspec.structs.replace(known, **changes)


def report(world: World, worker: str, accountant: AccountantStatus, *groups: GroupStatus) -> None:
    observers = tuple(one for one in groups if ".observer." in one.group)
    kinds = tuple(one for one in groups if one not in observers)
    collecting = WorkerStatus(revision=1, collectors=(), kinds=kinds, observers=observers)
    world.service.workers.record(
        Report(worker=worker, revision=1, role="collectors", collecting=collecting, accountant=accountant)
    )


async def test_a_group_is_the_sum_of_its_processes_with_or_without_collectors(world: World) -> None:
    deciding = group("analytics", "weir.deciding.analytics", age_s=0.5)
    watching = group("analytics", "weir.observer.hook.analytics", late=True, lag_s=90.0)
    report(world, "a", AccountantStatus(lag=1, added=5, lag_s=0.2), deciding)
    behind = msgspec.structs.replace(deciding, stuck=True, age_s=2.0, lag=1)
    report(world, "b", AccountantStatus(lag=2, added=6, lag_s=7.0, late=True), behind, watching)
    accountant, deciders, observer = await world.admin.data("GET", "/consumer-groups")
    shown = ("name", "processes", "lag", "decided", "lag_seconds", "late", "kind")
    assert [accountant[name] for name in shown] == ["weir.accountant", 2, 3, 11, 7.0, True, None]
    assert (deciders["lag"], deciders["decided"], deciders["stored"]) == (4, 20, 8)
    assert (deciders["stuck"], deciders["late"], deciders["event_age_seconds"]) == (True, False, 2.0)
    assert (observer["name"], observer["kind"]) == ("weir.observer.hook.analytics", "analytics")
    assert (observer["late"], observer["lag_seconds"], observer["event_age_seconds"]) == (True, 90.0, None)


async def test_the_lag_of_a_group_is_not_known_before_all_its_processes_have_counted_theirs(
    world: World,
) -> None:
    deciding = group("analytics", "weir.deciding.analytics")
    report(world, "a", AccountantStatus(lag=1), deciding)
    report(world, "b", AccountantStatus(), msgspec.structs.replace(deciding, lag=None))
    assert [one["lag"] for one in await world.admin.data("GET", "/consumer-groups")] == [None, None]


async def test_groups_that_nobody_reports_are_not_there(world: World) -> None:
    assert await world.admin.data("GET", "/consumer-groups") == []


async def test_a_bound_token_is_told_why_it_does_not_see_the_groups(world: World) -> None:
    bound = await world.caller("viewer", "emea")
    problem = await bound.problem(403, "GET", "/consumer-groups")
    assert "bound to some" in problem["detail"]
