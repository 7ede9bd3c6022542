"""A gateway under load and, when it is over, the question whether its books are right to the last event."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.support.gateway import eventually
from tests.support.load import Load, anthropic, openai
from tests.support.records import KINDS
from tests.support.world import World, open_world

from weir_cli.mock_upstream.process import RunningMock, running

# Long enough streams that every kill finds some of them between two events.
_PACE = {"first_byte_ms": 15, "chunk_ms": 8}


@asynccontextmanager
async def under_load(tmp_path: Path, **settings: str) -> AsyncIterator[tuple[World, Load]]:
    """A gateway of two workers whose calls go to both vendors, one in three past response plugins.

    ``settings`` are the gateway's further ones.
    """
    with running(tmp_path / "calls.jsonl", **_PACE) as upstream:
        async with open_world(tmp_path / "data", upstream, workers="2", **settings) as world:
            load = await load_of(world)
            load.start()
            yield world, load


async def load_of(world: World, **options: Any) -> Load:
    """Calls to both vendors of a world, one in three past response plugins; not begun.

    ``options`` are those of any load.
    """
    watched = await world.door()
    await world.attach(watched, "Stamp", "on_response", on_error="fail_closed")
    llm_ids = [world.openai_id, world.anthropic_id, watched.llm_id]
    await world.gateway.write("PATCH", f"apps/{world.caller.app_id}", llm_ids=llm_ids)
    asks = (openai("gpt"), anthropic("claude"), openai(watched.slug))
    return Load(world.gateway.url, asks, dict(world.client.headers), **options)


async def all_records(world: World, load: Load) -> dict[str, list[dict[str, Any]]]:
    """Every record, once everything that was answered or asked upstream is recorded."""
    gateway, upstream = world.gateway, world.upstream
    asked = {call.headers["x-request-id"] for call in upstream.calls()} | set(load.completed)
    found: dict[str, list[dict[str, Any]]] = {}

    async def complete() -> bool:
        for kind in KINDS:
            found[kind] = await gateway.records(kind)
        return all(asked <= {record["request_id"] for record in found[kind]} for kind in KINDS)

    await eventually(complete, "everything is recorded", within_s=60)
    await world.families.settled()
    return {kind: await gateway.records(kind) for kind in KINDS}


def check_the_books(records: dict[str, list[dict[str, Any]]], load: Load, upstream: RunningMock) -> None:
    """One record of each kind for every completed answer and every upstream call; nothing else unexplained."""
    logs = {record["request_id"]: record for record in records["proxy-logs"]}
    for kind in KINDS:
        twice = [
            key
            for key, count in Counter(record["request_id"] for record in records[kind]).items()
            if count > 1
        ]
        assert not twice, f"{kind} recorded twice: {twice[:3]}"
        events = Counter(record["event_id"] for record in records[kind])
        assert max(events.values()) == 1
        missing = set(load.completed) - {record["request_id"] for record in records[kind]}
        assert not missing, f"{kind} lost {len(missing)} of {len(load.completed)}: {sorted(missing)[:3]}"
    assert {logs[request_id]["outcome"] for request_id in load.completed} == {"served"}
    asked = Counter(call.headers["x-request-id"] for call in upstream.calls())
    assert max(asked.values()) == 1
    for kind in KINDS:
        assert set(asked) <= {record["request_id"] for record in records[kind]}
    # What a client gave up before the gateway came back to it may be cut off before the upstream has seen it.
    gave_up = any("Timeout" in failure for failure in load.failed)
    unasked = {"gateway_error", "client_aborted"} if gave_up else {"gateway_error"}
    for request_id in set(logs) - set(asked):
        assert logs[request_id]["outcome"] in unasked, logs[request_id]
    bills = {record["request_id"]: record for record in records["analytics"]}
    for request_id, log in logs.items():
        if log["outcome"] == "gateway_error" and request_id in asked:
            assert bills[request_id]["usage_source"] == "estimated"
            assert bills[request_id]["total_tokens"] > 0
    for request_id in load.torn:
        # Recorded as served, it died between its record and its last byte.
        assert logs[request_id]["outcome"] in ("gateway_error", "served"), logs[request_id]


def assert_streams_were_torn(records: dict[str, list[dict[str, Any]]], load: Load) -> None:
    """Otherwise the kills showed nothing."""
    lost = {record["request_id"] for record in records["proxy-logs"] if record["outcome"] == "gateway_error"}
    assert len(load.completed) > 100
    assert any(record["latency_ms"]["plugins"] for record in records["proxy-logs"])
    assert {kind for request_id, kind in load.torn.items() if request_id in lost} == {"stream"}
