"""Plugins whose processes leak are ended and started anew; no call fails for it, and no event is lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.gateway import Gateway, eventually
from tests.support.world import PLUGINS, Door, World, open_world

from weir_cli.mock_upstream.process import running

pytestmark = pytest.mark.timeout(120)

LIMIT = 250_000_000
CALLS = 8
"""More than a process can keep."""


async def restarts(gateway: Gateway, plugin_id: int) -> int:
    """How often the plugin was lost, in all its processes."""
    health = (await gateway.api.get(f"/api/v1/plugins/{plugin_id}/health")).json()["data"]
    return sum(worker["restarts"] for worker in health["workers"].values())


async def ask(world: World, door: Door) -> str:
    """One call, which succeeds; its request id."""
    answer = await world.ask(door)
    assert answer.status_code == 200, answer.text
    return answer.headers["x-request-id"]


async def test_a_leaking_hook_and_a_leaking_collector_cost_no_call_and_no_event(tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    with running(tmp_path / "calls.jsonl") as upstream:
        async with open_world(tmp_path / "data", upstream, plugin_memory_bytes=str(LIMIT)) as world:
            door = await world.door()
            ids = {}
            for stage in ("post_auth", "data_collection"):
                plugin = await world.gateway.create(
                    "plugins",
                    name=stage,
                    command=f"file://{PLUGINS / 'weir_leaking_plugins.py'}",
                    hook_types=[stage],
                    config={"file": str(taken)},
                )
                ids[stage] = plugin["id"]
            attached = [
                {"plugin_id": plugin_id, "on_error": "fail_open", "timeout_ms": 20_000}
                for plugin_id in ids.values()
            ]
            await world.gateway.write("PUT", f"llms/{door.llm_id}/plugins", plugins=attached)
            for plugin_id in ids.values():
                await world.gateway.hosted(plugin_id)
            asked = [await ask(world, door) for _ in range(CALLS)]

            async def both_were_ended() -> bool:
                return all([await restarts(world.gateway, plugin_id) > 0 for plugin_id in ids.values()])

            await eventually(both_were_ended, "both were lost and started anew")
            asked.append(await ask(world, door))

            async def all_taken() -> bool:
                return set(taken.read_text().split()) == set(asked)

            await eventually(all_taken, "the collector has every event", within_s=60)
            letters = (await world.gateway.api.get("/api/v1/dead-letters")).json()["data"]
            assert letters == []
            log = world.gateway.log_path.read_text()
            assert log.count("of memory and was ended: plugin_memory_bytes allows 238 MiB") >= 2
