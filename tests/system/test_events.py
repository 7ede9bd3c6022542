"""``weir events`` beside a whole gateway, on both logs: watching, and replaying to a new collector."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.gateway import Gateway, eventually, running_gateway
from tests.support.records import KINDS
from tests.system.test_collectors import PLUGINS, add_llm, add_sink, call, taken
from tests.system.test_kafka_gateway import applied, kafka_options, weir

from weir_cli.mock_upstream.process import running

pytestmark = pytest.mark.timeout(180)

CALLS = 12


@dataclass(frozen=True)
class Watched:
    """A gateway whose calls are all recorded, and the command beside it."""

    gateway: Gateway
    options: Mapping[str, str]
    llm_id: int
    app_id: int
    secret: str

    async def events(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        place = ("--data-dir", str(self.gateway.data_dir))
        return await asyncio.to_thread(weir, self.options, "events", *arguments, *place)


@asynccontextmanager
async def watched(tmp_path: Path, options: Mapping[str, str]) -> AsyncIterator[Watched]:
    with running(tmp_path / "calls.jsonl") as upstream:
        async with running_gateway(tmp_path / "data", plugin_path=PLUGINS, **options) as gateway:
            llm = await add_llm(gateway, upstream.url)
            caller = await gateway.caller(llm["id"])
            await call(gateway, caller.secret, CALLS)
            for kind in KINDS:
                await gateway.recorded(kind, CALLS)
            yield Watched(gateway, options, llm["id"], caller.app_id, caller.secret)


def moment(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


async def check(world: Watched, tmp_path: Path) -> None:
    """Watch what was called, then replay it to a collector that is new."""
    shown = await world.events("tail", "--from-start", "--json", "--kind", "analytics", "--limit", str(CALLS))
    assert shown.returncode == 0, shown.stderr
    events = [json.loads(line) for line in shown.stdout.splitlines()]
    recorded = await world.gateway.records("analytics")
    assert {event["event_id"] for event in events} == {record["event_id"] for record in recorded}

    only = ("--app", str(world.app_id), "--llm", str(world.llm_id), "--outcome", "served", "--limit", "3")
    lines = (await world.events("tail", "--from-start", *only)).stdout.splitlines()
    assert len(lines) == 3
    assert all(f"app={world.app_id}" in line and "served" in line for line in lines)

    sink = tmp_path / "new"
    await add_sink(world.gateway, sink, observer=True)
    await until_all(sink, CALLS)
    now = datetime.now(UTC)
    await call(world.gateway, world.secret, 3)
    await until_all(sink, CALLS + 3)
    whole = {kind: taken(sink, kind) for kind in KINDS}
    sink.write_text("")  # as if its index had been lost
    range_ = ("--from", moment(now - timedelta(hours=1)), "--to", moment(now))
    asked = [await world.events("replay", "--collector", "new", *range_) for _ in range(2)]
    assert [each.returncode for each in asked] == [0, 0], asked[0].stderr
    assert "begun" in asked[0].stdout
    assert "begun" not in asked[1].stdout
    await until_all(sink, CALLS)
    before = {record["event_id"] for record in recorded}
    assert taken(sink, "analytics") == Counter(before)
    for kind in KINDS:
        assert set(taken(sink, kind)) < set(whole[kind])
        assert len(await world.gateway.records(kind)) == CALLS + 3
    await check_the_ledger(world.gateway)


async def until_all(sink: Path, count: int) -> None:
    async def have() -> bool:
        return all(len(taken(sink, kind)) >= count for kind in KINDS)

    await eventually(have, f"the sink has {count} of each kind")


async def check_the_ledger(gateway: Gateway) -> None:
    rows: list[dict[str, Any]] = []

    async def done() -> bool:
        rows[:] = (await gateway.api.get("/api/v1/dead-letters/ranges")).json()["data"]
        return all(row["state"] == "redriven" for row in rows)

    await eventually(done, "the replay is done")
    assert sum(row["redriven"] for row in rows) == len(KINDS) * CALLS
    assert all(row["reason"].startswith("replay of ") for row in rows)


async def test_a_replay_gives_a_collector_exactly_the_range_out_of_the_spools(tmp_path: Path) -> None:
    async with watched(tmp_path, {}) as world:
        await check(world, tmp_path)
        unknown = await world.events(
            "replay",
            "--collector",
            "nobody",
            "--from",
            "2026-01-01T00:00:00Z",
            "--to",
            "2026-01-02T00:00:00Z",
        )
        assert (unknown.returncode, "there is no collector 'nobody'" in unknown.stderr) == (1, True)
        wrong = await world.events(
            "replay", "--collector", "new", "--from", "yesterday", "--to", "2026-01-02T00:00:00Z"
        )
        assert wrong.returncode == 2


@pytest.mark.system
async def test_a_replay_gives_a_collector_exactly_the_range_out_of_kafka(kafka: str, tmp_path: Path) -> None:
    async with watched(tmp_path, kafka_options(await applied(kafka))) as world:
        await check(world, tmp_path)
