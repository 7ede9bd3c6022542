"""The reference page's own curl commands, run by a shell against a whole gateway."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.support.gateway import ADMIN_TOKEN
from tests.support.world import World, open_world

from weir_cli.mock_upstream.process import RunningMock

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(120)]

PAGE = Path(__file__).with_name("reference_page.sh")
STAND_IN = Path(__file__).parent.parent / "cli" / "curl_stand_in.py"


@pytest_asyncio.fixture(loop_scope="session")
async def fresh(tmp_path: Path, upstream: RunningMock) -> AsyncIterator[World]:
    """A world of its own: the page counts on plugins 1, 2 and 3 and on LLM 1."""
    async with open_world(tmp_path / "data", upstream) as opened:
        yield opened


async def run(world: World, command: str, token: str) -> dict[str, Any]:
    """What one of the page's commands answers, with curl where there is one, and by a stand-in elsewhere."""
    stand_in = f'curl() {{ {shlex.quote(sys.executable)} {shlex.quote(str(STAND_IN))} "$@"; }}'
    environment = {"PATH": os.environ["PATH"], "WEIR": world.gateway.url, "YOUR_TOKEN": token, "TOKEN": token}
    script = f"command -v curl >/dev/null || {stand_in}\n. {shlex.quote(str(PAGE))}\n{command}"
    shell = await asyncio.create_subprocess_exec(
        "sh", "-e", "-c", script, env=environment, stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await shell.communicate()
    assert shell.returncode == 0
    answer: dict[str, Any] = json.loads(printed)
    return answer


async def test_the_pages_commands_deploy_attach_and_call_as_they_stand(fresh: World) -> None:
    deployed = (await run(fresh, "deploy_plugin", ADMIN_TOKEN))["data"]
    assert (deployed["id"], deployed["slug"], deployed["hook_types"]) == (1, "my-plugin", ["pre_auth"])
    under_test = (await run(fresh, "create_for_integration_test", ADMIN_TOKEN))["data"]
    assert (under_test["id"], under_test["hook_types"]) == (2, ["on_response"])
    assert (await run(fresh, "create_another", ADMIN_TOKEN))["data"]["id"] == 3
    attached = (await run(fresh, "attach_to_llm", ADMIN_TOKEN))["data"]
    assert [item["plugin_id"] for item in attached] == [1, 2, 3]
    for plugin_id in (1, 2, 3):
        await fresh.gateway.hosted(plugin_id)
    answer = await run(fresh, "test_llm_request", fresh.caller.secret)
    assert answer["weir"] == "was here"
    assert answer["choices"]
    [log] = await fresh.gateway.recorded("proxy-logs", 1, llm_id=1)
    assert set(log["latency_ms"]["plugins"]) == {"My Plugin", "Under test", "Another"}


async def test_the_pages_call_with_a_management_token_says_what_it_takes_instead(world: World) -> None:
    token = (await world.gateway.create("tokens", name="reader's", role="admin"))["secret"]
    answer = await run(world, "test_llm_request", token)
    assert "app credential" in answer["error"]["message"]
