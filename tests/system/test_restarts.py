"""Plugins are killed and started anew two hundred times in one living gateway, and nothing grows."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.gateway import eventually
from tests.support.processes import held_by
from tests.support.watcher import Watcher
from tests.support.world import World, open_world

from weir_cli.mock_upstream.process import running

pytestmark = [pytest.mark.crash, pytest.mark.timeout(300)]

RESTARTS = 200
WARM_UP = 40
AT_ONCE = 10
# A pool of threads grows when all of it is busy, up to its size; a leak would be one thread for each restart.
FEW_THREADS = (RESTARTS - WARM_UP) // 10


class Scales:
    """Weighs a gateway: what each of its processes holds, and what lies in its directory of sockets."""

    def __init__(self, world: World, directory: Path, run_dir: Path) -> None:
        self._world = world
        self._notes = directory / "tasks"
        self._run_dir = run_dir

    async def open(self) -> None:
        """Put a plugin that counts tasks into the proxy and beside the collectors."""
        world = self._world
        self._door = await world.door()
        created = await world.gateway.create(
            "plugins",
            name="counting",
            command="python://weir_test_plugins:Counting",
            hook_types=["on_response", "data_collection"],
            config={"file": str(self._notes)},
        )
        attachment = {"plugin_id": created["id"], "response_headers": ["x-tasks"]}
        await world.gateway.write("PUT", f"llms/{self._door.llm_id}/plugins", plugins=[attachment])
        await world.gateway.hosted(created["id"])

    async def least(self, so_far: Counter[str] | None = None) -> Counter[str]:
        """By process and thing, the least of several looks, among which one finds nothing under way."""
        for _ in range(5):
            now = await self._weigh()
            so_far = now if so_far is None else so_far & now
        assert so_far is not None
        return so_far

    async def _weigh(self) -> Counter[str]:
        gateway = self._world.gateway
        found: Counter[str] = Counter({"run dir": len(list(self._run_dir.rglob("*")))})
        # Opened as events come and as their lag is counted, by as many as read them.
        of_events = (str(gateway.data_dir / "spool"), str(gateway.data_dir / "weir.db"))
        for name in ("proxy", "collectors", "control"):
            held = held_by(gateway.child(name)).items()
            found.update({f"{name} {what}": count for what, count in held if not what.startswith(of_events)})
        answer = await self._world.ask(self._door)
        assert answer.status_code == 200
        found["proxy tasks"] = int(answer.headers["x-tasks"])
        found["collectors tasks"] = await self._tasks_of_collectors(answer.headers["x-request-id"])
        return found

    async def _tasks_of_collectors(self, request_id: str) -> int:
        counts: dict[str, str] = {}

        async def noted() -> bool:
            counts.update(line.split() for line in self._notes.read_text().splitlines())
            return request_id in counts

        await eventually(noted, "the collector has counted")
        return int(counts[request_id])


async def test_two_hundred_restarts_in_a_living_gateway_leave_nothing_behind(
    tmp_path: Path, run_dir: Path, record_property: Callable[[str, object], None]
) -> None:
    with running(tmp_path / "calls.jsonl") as upstream:
        async with open_world(tmp_path / "data", upstream) as world:
            scales = Scales(world, tmp_path, run_dir)
            await scales.open()
            watcher = Watcher(world, tmp_path)
            await watcher.install(AT_ONCE)
            await watcher.are(2 * AT_ONCE)  # in the worker and with the collectors
            await restart(watcher, WARM_UP)
            before = await scales.least()
            await restart(watcher, RESTARTS - WARM_UP)
            after = await scales.least()

            async def is_as_before() -> bool:
                # What ends in the background may take its time, but it ends.
                nonlocal after
                after = await scales.least(after)
                return all(
                    count <= before[thing] + (FEW_THREADS if thing.endswith("threads") else 0)
                    for thing, count in after.items()
                )

            await eventually(is_as_before, f"nothing is more than {before}", within_s=60)
            plenty = {what: f"{count} -> {after[what]}" for what, count in before.items() if count > 9}
            record_property("held before and after", plenty)
            assert await world.gateway.stop() == 0
            assert watcher.pids() == []
            assert os.listdir(run_dir) == []


async def restart(watcher: Watcher, times: int) -> None:
    """Replace its processes so often, by turns after a kill and because somebody asks for it."""
    replaced = 0
    while replaced < times:
        replaced += await watcher.kill()
        replaced += await watcher.reload()
        await watcher.serves()
