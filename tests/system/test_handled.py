"""Collectors of every temper side by side: the verdicts decide what is stored, and no request notices."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.support.gateway import eventually
from tests.support.records import KINDS
from tests.support.world import CHAT, QUESTION, World, open_world

from weir_cli.mock_upstream.process import RunningMock

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(120)]

CALLS = 25


@pytest_asyncio.fixture(loop_scope="session")
async def world(tmp_path: Path, upstream: RunningMock) -> AsyncIterator[World]:
    """A world of its own: its collectors see every event."""
    async with open_world(tmp_path / "data", upstream) as opened:
        yield opened


async def collect(
    world: World, cls: str, file: Path, collector: dict[str, Any] | None = None, **config: str
) -> int:
    """Start a collector that notes the ids of its events in ``file``."""
    plugin = await world.gateway.create(
        "plugins",
        name=cls,
        slug=cls.lower(),
        command=f"python://weir_test_plugins:{cls}",
        hook_types=["data_collection"],
        config={"file": str(file), **config},
        collector=collector or {},
    )
    await world.gateway.hosted(plugin["id"])
    return int(plugin["id"])


async def served(world: World) -> list[str]:
    """The request ids of some calls, all of which were answered."""
    answers = [await world.client.post(CHAT, json=QUESTION) for _ in range(CALLS)]
    assert {answer.status_code for answer in answers} == {200}
    return [answer.headers["x-request-id"] for answer in answers]


def noted(path: Path) -> dict[str, Counter[str]]:
    """Kind to event ids, as a collector wrote them."""
    found: dict[str, Counter[str]] = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        kind, event_id = line.split()
        found.setdefault(kind, Counter())[event_id] += 1
    return found


async def test_what_is_stored_is_what_the_rule_says(world: World, tmp_path: Path) -> None:
    gateway, handling_file, slow_file = world.gateway, tmp_path / "handling", tmp_path / "slow"
    for cls, file in (("Handling", handling_file), ("Failing", tmp_path / "f"), ("Slow", slow_file)):
        await collect(world, cls, file, {"max_tries": 2, "timeout_ms": 2000})
    ids = await served(world)

    async def worked_off() -> bool:
        stored = [len(await gateway.records(kind)) for kind in ("analytics", "budget-usage")]
        handled = sum(noted(handling_file).get("proxy_log", Counter()).values())
        return min(*stored, handled) >= CALLS

    await eventually(worked_off, "every event has had its verdict", within_s=60)
    logs, analytics, budget = [await gateway.records(kind) for kind in KINDS]
    assert logs == [], "a proxy log that a collector handled was stored"
    assert Counter(record["request_id"] for record in analytics) == Counter(ids)
    assert Counter(record["request_id"] for record in budget) == Counter(ids)
    assert set(noted(handling_file)["analytics"]) == {record["event_id"] for record in analytics}
    assert set(noted(slow_file)["analytics"]) == {record["event_id"] for record in analytics}
    assert len(noted(handling_file)["proxy_log"]) == CALLS


async def test_answers_are_complete_while_every_collector_is_held_up(world: World, tmp_path: Path) -> None:
    held, gate = tmp_path / "held", tmp_path / "gate"
    patient = {"timeout_ms": 60_000, "max_tries": 1}
    await collect(world, "Gated", held, patient, gate=str(gate))
    await collect(world, "Failing", tmp_path / "failing", patient)
    ids = await served(world)

    async def begun() -> bool:
        return len(noted(held)) == len(KINDS)

    await eventually(begun, "the collector has an event of each kind in hand")
    ids += await served(world)
    for kind in KINDS:
        assert await world.gateway.records(kind) == [], "an event was stored before its verdict"
    gate.touch()
    for kind in KINDS:
        stored = await world.gateway.recorded(kind, len(ids))
        assert Counter(record["request_id"] for record in stored) == Counter(ids)


async def test_a_collector_that_never_comes_back_costs_no_call_and_no_record(
    world: World, tmp_path: Path
) -> None:
    stuck = tmp_path / "stuck"
    await collect(world, "Stuck", stuck, {"timeout_ms": 100, "max_tries": 1})
    ids = await served(world)
    stored = await world.gateway.recorded("analytics", len(ids))
    assert Counter(record["request_id"] for record in stored) == Counter(ids)
    assert noted(stuck)


async def test_a_collector_that_stops_handling_gets_its_records_back_into_the_database(
    world: World, tmp_path: Path
) -> None:
    plugin_id = await collect(world, "Handling", tmp_path / "noted")
    await world.gateway.write("PATCH", f"plugins/{plugin_id}", is_active=False)
    await world.families.settled()
    assert await world.gateway.records("proxy-logs")
