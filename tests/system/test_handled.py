"""Collectors of every temper side by side: the verdicts decide what is stored, and no request notices."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
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


Collect = Callable[..., Awaitable[int]]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def world(tmp_path_factory: pytest.TempPathFactory, upstream: RunningMock) -> AsyncIterator[World]:
    """A world of its own: its collectors see every event."""
    async with open_world(tmp_path_factory.mktemp("weir") / "data", upstream) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def collect(world: World) -> AsyncIterator[Collect]:
    """Starts a collector that notes the ids of its events in a file; it is switched off afterwards."""
    started: list[int] = []

    async def start(cls: str, file: Path, collector: dict[str, Any] | None = None, **config: str) -> int:
        name = f"{cls.lower()}-{next(world.numbers)}"
        plugin = await world.gateway.create(
            "plugins",
            name=name,
            slug=name,
            command=f"python://weir_test_plugins:{cls}",
            hook_types=["data_collection"],
            config={"file": str(file), **config},
            collector=collector or {},
        )
        started.append(plugin["id"])
        await world.gateway.hosted(plugin["id"])
        return int(plugin["id"])

    yield start
    for plugin_id in started:
        await world.gateway.write("PATCH", f"plugins/{plugin_id}", is_active=False)


async def stored(world: World, kind: str, request_ids: list[str]) -> list[dict[str, Any]]:
    """The records of these calls."""
    return [record for record in await world.gateway.records(kind) if record["request_id"] in request_ids]


async def all_stored(world: World, kinds: Iterable[str], request_ids: list[str]) -> None:
    """Wait for one record of each kind for each call."""

    async def complete() -> bool:
        return all([len(await stored(world, kind, request_ids)) >= len(request_ids) for kind in kinds])

    await eventually(complete, "every event has had its verdict", within_s=60)
    for kind in kinds:
        found = await stored(world, kind, request_ids)
        assert Counter(record["request_id"] for record in found) == Counter(request_ids)


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


async def test_what_is_stored_is_what_the_rule_says(world: World, collect: Collect, tmp_path: Path) -> None:
    handling_file, slow_file = tmp_path / "handling", tmp_path / "slow"
    for cls, file in (("Handling", handling_file), ("Failing", tmp_path / "f"), ("Slow", slow_file)):
        await collect(cls, file, {"max_tries": 2, "timeout_ms": 2000})
    ids = await served(world)
    await all_stored(world, ("analytics", "budget-usage"), ids)

    async def handled() -> bool:
        return len(noted(handling_file).get("proxy_log", Counter())) >= CALLS

    await eventually(handled, "every proxy log is handled")
    assert await stored(world, "proxy-logs", ids) == [], "a proxy log that a collector handled was stored"
    analytics = {record["event_id"] for record in await stored(world, "analytics", ids)}
    assert set(noted(handling_file)["analytics"]) == analytics
    assert set(noted(slow_file)["analytics"]) == analytics
    assert len(noted(handling_file)["proxy_log"]) == CALLS


async def test_answers_are_complete_while_every_collector_is_held_up(
    world: World, collect: Collect, tmp_path: Path
) -> None:
    held, gate = tmp_path / "held", tmp_path / "gate"
    patient = {"timeout_ms": 60_000, "max_tries": 1}
    await collect("Gated", held, patient, gate=str(gate))
    await collect("Failing", tmp_path / "failing", patient)
    ids = await served(world)

    async def begun() -> bool:
        return len(noted(held)) == len(KINDS)

    await eventually(begun, "the collector has an event of each kind in hand")
    ids += await served(world)
    for kind in KINDS:
        assert await stored(world, kind, ids) == [], "an event was stored before its verdict"
    gate.touch()
    await all_stored(world, KINDS, ids)


async def test_a_collector_that_never_comes_back_costs_no_call_and_no_record(
    world: World, collect: Collect, tmp_path: Path
) -> None:
    stuck = tmp_path / "stuck"
    await collect("Stuck", stuck, {"timeout_ms": 100, "max_tries": 1})
    ids = await served(world)
    await all_stored(world, KINDS, ids)
    assert noted(stuck)


async def test_a_collector_that_stops_handling_gets_its_records_back_into_the_database(
    world: World, collect: Collect, tmp_path: Path
) -> None:
    plugin_id = await collect("Handling", tmp_path / "noted")
    await world.gateway.write("PATCH", f"plugins/{plugin_id}", is_active=False)
    await world.families.settled()
