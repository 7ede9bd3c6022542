"""A plugin that holds up its whole process for good: the process is ended, and another serves."""

from __future__ import annotations

import signal
from pathlib import Path

import httpx2
import pytest
from tests.support.gateway import running_gateway
from tests.support.roles import RoleProcess
from tests.support.world import PLUGINS, open_world
from tests.system.test_kafka_gateway import applied, kafka_options

from weir_cli.mock_upstream.process import running

pytestmark = [pytest.mark.crash, pytest.mark.timeout(120)]


async def test_a_worker_whose_loop_a_plugin_holds_up_for_good_is_replaced_and_the_call_recorded(
    tmp_path: Path,
) -> None:
    with running(tmp_path / "calls.jsonl") as upstream:
        async with open_world(tmp_path / "data", upstream, loop_stall_seconds="2") as world:
            door, other = await world.door(), await world.door()
            await world.attach(door, "Blocking", "post_auth")
            worker = world.gateway.child("proxy")
            with pytest.raises(httpx2.RemoteProtocolError):
                await world.ask(door, messages=[{"role": "user", "content": "compute"}])
            # The next one waits in the listener's queue until somebody serves.
            assert (await world.ask(other)).status_code == 200
            assert world.gateway.child("proxy") != worker
            [lost] = await world.gateway.recorded("proxy-logs", 1, llm_id=door.llm_id)
            assert lost["outcome"] == "gateway_error"
            assert await world.gateway.stop() == 0
    log = world.gateway.log_path.read_text()
    assert "the event loop stands still" in log
    assert "handle_post_auth" in log


@pytest.mark.system
async def test_weir_collect_ends_by_itself_when_a_collector_holds_it_up_for_good(
    kafka: str, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    options = kafka_options(await applied(kafka))
    async with running_gateway(tmp_path / "data", plugin_path=PLUGINS, **options) as gateway:
        plugin = await gateway.create(
            "plugins",
            name="stuck",
            slug="stuck",
            command="python://weir_test_plugins:StuckAtStart",
            hook_types=["data_collection"],
            config={"file": str(tmp_path / "collected"), "gate": str(gate)},
        )
        await gateway.hosted(plugin["id"])
        collect = RoleProcess(
            "collect", gateway.data_dir, plugin_path=PLUGINS, loop_stall_seconds="2", **options
        )
        try:
            gate.unlink()
            await collect.start()
            assert await collect.ended() == -signal.SIGKILL
            gate.touch()
            await collect.start()
            await collect.ready()
        finally:
            await collect.close()
        assert "the event loop stands still" in collect.log_path.read_text()
