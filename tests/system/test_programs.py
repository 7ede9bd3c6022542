"""Plugins in processes of their own, in a gateway of real processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.gateway import eventually
from tests.support.processes import processes_of
from tests.support.world import open_world

from weir_cli.mock_upstream.process import running

pytestmark = [pytest.mark.crash, pytest.mark.timeout(120)]

GUARD = """
import os
from weir_sdk import BasePlugin, PluginResponse, serve

class Guard(BasePlugin):
    async def handle_post_auth(self, ctx, request):
        if request.json()["messages"][0]["content"] == "die":
            os._exit(9)
        request.headers["X-Guard"] = f"{os.getpid()} {ctx.request_id}"

    def handle_proxy_log(self, ctx, log):
        print(f"collected {log.request_id}")

serve(Guard)
"""


def running_are(script: Path, count: int) -> Callable[[], Awaitable[bool]]:
    async def condition() -> bool:
        return len(processes_of(script)) == count

    return condition


async def test_a_program_guards_and_collects_dies_is_restarted_and_goes_with_the_gateway(
    tmp_path: Path,
) -> None:
    script = tmp_path / "guard.py"
    script.write_text(GUARD)
    with running(tmp_path / "calls.jsonl") as upstream:
        async with open_world(tmp_path / "data", upstream, plugin_dirs=str(tmp_path)) as world:
            gateway = world.gateway
            plugin = await gateway.create("plugins", name="Guard", command=f"file://{script}")
            assert plugin["hook_types"] == ["post_auth", "data_collection"]
            door = await world.door()
            attachment: dict[str, Any] = {"plugin_id": plugin["id"], "timeout_ms": 5000}
            await gateway.write("PUT", f"llms/{door.llm_id}/plugins", plugins=[attachment])
            await gateway.hosted(plugin["id"])

            answer = await world.ask(door)
            assert answer.status_code == 200
            seen = upstream.calls()[-1].headers["x-guard"]
            assert seen.endswith(answer.headers["x-request-id"])

            died = await world.ask(door, messages=[{"role": "user", "content": "die"}])
            assert died.status_code == 503
            assert died.json()["error"]["code"] == "plugin_unavailable"

            async def serves_again() -> bool:
                return (await world.ask(door)).status_code == 200

            await eventually(serves_again, "the guard is there again")
            assert upstream.calls()[-1].headers["x-guard"].split()[0] != seen.split()[0]
            await gateway.recorded("proxy-logs", 3, llm_id=door.llm_id)
            assert len(processes_of(script)) == 2
            assert "collected" in gateway.log_path.read_text()

            await gateway.kill_everything()
            await eventually(running_are(script, 0), "its processes are gone with it")


async def test_a_stopped_gateway_stops_its_programs(tmp_path: Path) -> None:
    script = tmp_path / "guard.py"
    script.write_text(GUARD)
    with running(tmp_path / "calls.jsonl") as upstream:
        async with open_world(tmp_path / "data", upstream) as world:
            await world.gateway.create("plugins", name="Guard", command=f"file://{script}")
            await eventually(running_are(script, 2), "it runs where it is needed")
            for pid in processes_of(script):
                os.kill(pid, signal.SIGSTOP)
            assert await world.gateway.stop() == 0
            assert processes_of(script) == set()


TALKATIVE = """
from weir_sdk import BasePlugin, DataCollectionResponse, serve

class Talkative(BasePlugin):
    def get_config_schema(self):
        return {"properties": {"token": {"type": "string", "writeOnly": True}}}

    async def initialize(self, ctx, config):
        self.token = config["token"]
        print("printed", self.token, flush=True)
        ctx.services.logger.warning("logged", token=self.token)

    async def handle_post_auth(self, ctx, request):
        raise ValueError(f"raised with {self.token}")

    async def handle_proxy_log(self, ctx, log):
        raise ValueError(f"raised with {self.token}")

    async def handle_analytics(self, ctx, analytics):
        return DataCollectionResponse(success=False, error_message=f"answered {self.token}")

serve(Talkative)
"""


async def test_what_a_plugin_says_of_its_secrets_reaches_no_log_and_no_dead_letter(tmp_path: Path) -> None:
    script = tmp_path / "talkative.py"
    script.write_text(TALKATIVE)
    with running(tmp_path / "calls.jsonl") as upstream:
        async with open_world(tmp_path / "data", upstream) as world:
            gateway = world.gateway
            plugin = await gateway.create(
                "plugins",
                name="Talkative",
                command=f"file://{script}",
                config={"token": "s3cret-token"},
                collector={"max_tries": 1},
            )
            door = await world.door()
            attachment = {"plugin_id": plugin["id"], "timeout_ms": 5000, "on_error": "fail_open"}
            await gateway.write("PUT", f"llms/{door.llm_id}/plugins", plugins=[attachment])
            await gateway.hosted(plugin["id"])
            assert (await world.ask(door)).status_code == 200
            reasons: list[str] = []

            async def given_up() -> bool:
                letters = (await gateway.api.get("/api/v1/dead-letters")).json()["data"]
                reasons[:] = [letter["reason"] for letter in letters]
                return len(reasons) == 2

            await eventually(given_up, "both events are dead letters")
            assert all(reason.endswith(" ***") for reason in reasons)
            text = gateway.log_path.read_text()
            assert "printed ***" in text
            assert "raised with ***" in text
            assert "s3cret-token" not in text
