"""The summaries of a whole gateway: what the upstream was asked is what the sums say, whoever dies or handles."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.support.gateway import eventually
from tests.support.load import Load, anthropic, openai
from tests.support.world import World, open_world

from weir_cli.mock_upstream.process import running
from weir_streams.offsets import group_directory

pytestmark = [pytest.mark.crash, pytest.mark.timeout(300)]

# Slow enough that every kill finds calls under way, and that there are not too many of them.
PACE = {"first_byte_ms": 150, "chunk_ms": 10}
SUMS = ("requests", "prompt_tokens", "response_tokens", "total_tokens")


@asynccontextmanager
async def under_load(world: World) -> AsyncIterator[list[Load]]:
    """Calls to both vendors; at the end each finishes its call."""
    headers = dict(world.client.headers)
    loads = [
        Load(world.gateway.url, (openai("gpt"),), headers),
        Load(world.gateway.url, (anthropic("claude"),), headers),
    ]
    for load in loads:
        load.start()
    yield loads
    for load in loads:
        await load.stop()


async def summary(world: World, group_by: str) -> list[dict[str, Any]]:
    query = {"group_by": group_by, "limit": 100}
    answer = (await world.gateway.api.get("/api/v1/analytics/summary", params=query)).raise_for_status()
    groups: list[dict[str, Any]] = answer.json()["data"]
    return groups


def summed(groups: Iterable[dict[str, Any]]) -> Counter[tuple[int, str]]:
    """By LLM and field, the sums of a summary."""
    found: Counter[tuple[int, str]] = Counter()
    for group in groups:
        for name in SUMS:
            found[group["llm_id"], name] += group[name]
        found[group["llm_id"], "nano"] += int(Decimal(group["cost"]) * 10**9)
    return found


def added_up(events: Iterable[dict[str, Any]]) -> Counter[tuple[int, str]]:
    """The same as a plain sum over analytics events."""
    return summed({"requests": 1, **event, "cost": event["cost"] or "0"} for event in events)


def kill_a_child(world: World, role: str) -> None:
    for pid, command in world.gateway.children().items():
        if role in command:
            os.kill(pid, signal.SIGKILL)


async def test_after_kills_under_load_the_summary_is_the_plain_sum_of_all_events(tmp_path: Path) -> None:
    moments = random.Random(1791)
    with running(tmp_path / "calls.jsonl", **PACE) as upstream:
        async with open_world(tmp_path / "data", upstream, workers="2") as world:
            async with under_load(world) as loads:
                for turn in range(4):
                    await asyncio.sleep(moments.uniform(0.3, 0.9))  # the random moment is the test
                    if turn % 2:
                        await world.gateway.kill_everything()
                        await world.gateway.start()
                    else:
                        kill_a_child(world, "collectors")
            await world.families.settled()
            events = await world.gateway.records("analytics")
            asked = {call.headers["x-request-id"] for call in upstream.calls()}
            assert asked <= {event["request_id"] for event in events}

            async def equal() -> bool:
                return summed(await summary(world, "llm,user,model,hour")) == added_up(events)

            await eventually(equal, "the summary is the plain sum of all events")
    assert all(len(load.completed) > 25 for load in loads)
    assert {event["usage_source"] for event in events} >= {"provider", "estimated"}


async def test_whoever_handles_and_whatever_is_read_again_the_summary_is_the_upstreams_own_count(
    tmp_path: Path,
) -> None:
    with running(tmp_path / "calls.jsonl", **PACE) as upstream:
        async with open_world(tmp_path / "data", upstream) as world:
            plugin = await world.gateway.create(
                "plugins",
                name="handling",
                command="python://weir_test_plugins:Handling",
                hook_types=["data_collection"],
                config={"file": str(tmp_path / "handled")},
            )
            await world.gateway.hosted(plugin["id"])
            async with under_load(world):
                for _ in range(2):
                    await asyncio.sleep(0.6)  # some calls between the kills
                    kill_a_child(world, "collectors")
            await world.gateway.stop()
            shutil.rmtree(group_directory(world.gateway.data_dir, "weir.accountant"))
            await world.gateway.start()
            counted = by_the_upstream(world)

            async def equal() -> bool:
                return tokens(summed(await summary(world, "llm"))) == counted

            await eventually(equal, "the summary is what the upstream counted")
            assert "analytics" in (tmp_path / "handled").read_text()


def by_the_upstream(world: World) -> Counter[tuple[int, str]]:
    ids = {"openai": world.openai_id, "anthropic": world.anthropic_id}
    found: Counter[tuple[int, str]] = Counter()
    for call in world.upstream.calls():
        assert call.usage is not None
        found[ids[call.vendor], "requests"] += 1
        for name in SUMS[1:]:
            found[ids[call.vendor], name] += getattr(call.usage, name)
    return found


def tokens(sums: Counter[tuple[int, str]]) -> Counter[tuple[int, str]]:
    return Counter({key: value for key, value in sums.items() if key[1] != "nano"})
