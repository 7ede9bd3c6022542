"""``file://`` plugins through the API, with real scripts and real trial starts."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
from tests.control.conftest import Api, World, probing_admin

from weir_core.secrets import KeyRing
from weir_host.probe import probe

SCRIPT = """
from weir_sdk import BasePlugin, serve


class Guard(BasePlugin):
    def __init__(self):
        super().__init__("guard", "1.0.0", "Lets callers in")

    def initialize(self, ctx, config):
        if config.get("broken"):
            raise RuntimeError(f"cannot log in with {config.get('api_key')}")

    def get_config_schema(self):
        return {
            "type": "object",
            "properties": {
                "api_key": {"type": "string", "minLength": 3, "writeOnly": True},
                "size": {"type": "integer", "minimum": 1},
            },
        }

    async def handle_auth(self, ctx, request):
        return None


serve(Guard)
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    directory = tmp_path / "plugins"
    directory.mkdir()
    path = directory / "guard.py"
    path.write_text(SCRIPT)
    return path


@pytest.fixture
async def admin(tmp_path: Path, script: Path, database_url: str, keyring: KeyRing) -> AsyncIterator[Api]:
    prober = partial(probe, plugin_modules=None, plugin_dirs=(str(script.parent),))
    async with probing_admin(tmp_path, database_url, keyring, prober) as api:
        yield api


def checksum_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


async def test_a_script_is_deployed_described_changed_and_started_anew(admin: Api, script: Path) -> None:
    wanted = {"name": "Guard", "command": f"file://{script}", "checksum": checksum_of(script).upper()}
    created = await admin.data("POST", "/plugins", wanted | {"config": {"api_key": "s3cret", "size": 2}})
    assert (created["state"], created["hook_types"]) == ("starting", ["auth"])
    assert created["config"] == {"api_key": "***", "size": 2}
    assert created["checksum"] == checksum_of(script)
    schema = await admin.data("GET", "/plugins/1/config-schema")
    assert schema["properties"]["api_key"]["writeOnly"] is True
    assert (await admin.data("GET", "/plugins/1/health"))["state"] == "starting"
    errors = await admin.errors("PATCH", "/plugins/1", {"config": {"size": 0, "api_key": "ab"}})
    assert errors == {"config.api_key": "config_schema", "config.size": "config_schema"}
    changed = await admin.data("PATCH", "/plugins/1", {"config": {"api_key": "***", "size": 3}})
    assert changed["config"] == {"api_key": "***", "size": 3}
    assert (await admin.data("POST", "/plugins/1/reload"))["state"] == "starting"


async def test_a_change_with_which_a_script_cannot_start_is_422_and_tells_no_secret(
    admin: Api, script: Path
) -> None:
    wanted = {"name": "Guard", "command": f"file://{script}", "config": {"api_key": "s3cret"}}
    before = await admin.data("POST", "/plugins", wanted)
    problem = await admin.problem(422, "PATCH", "/plugins/1", {"config": {"broken": True}})
    assert "cannot log in" in problem["detail"]
    assert "s3cret" not in str(problem)
    assert await admin.data("GET", "/plugins/1") == before
    await admin.llm()
    override = {"plugins": [{"plugin_id": 1, "config_override": {"broken": True}}]}
    problem = await admin.problem(422, "PUT", "/llms/1/plugins", override)
    assert problem["code"] == "plugin_cannot_start"
    assert "s3cret" not in str(problem)


async def test_a_checksum_that_is_not_the_files_is_422(admin: Api, script: Path) -> None:
    wanted = {"name": "Guard", "command": f"file://{script}", "checksum": "ab" * 32}
    assert await admin.errors("POST", "/plugins", wanted) == {"checksum": "checksum_mismatch"}
    await admin.data("POST", "/plugins", wanted | {"checksum": checksum_of(script)})
    script.write_text(SCRIPT + "# changed\n")
    problem = await admin.problem(422, "POST", "/plugins/1/reload")
    assert problem["code"] == "plugin_cannot_start"
    errors = await admin.errors("PATCH", "/plugins/1", {"config": {"size": 2}})
    assert errors == {"checksum": "checksum_mismatch"}
    await admin.data("PATCH", "/plugins/1", {"checksum": checksum_of(script)})


async def test_a_new_plugin_whose_file_is_not_here_or_not_allowed_is_stored_as_failed(
    admin: Api, script: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside.py"
    outside.write_text(SCRIPT)
    for path in (script.with_name("missing.py"), outside):
        wanted = {"name": path.stem, "command": f"file://{path}", "hook_type": "auth"}
        created = await admin.data("POST", "/plugins", wanted | {"config": {"a": "b"}})
        assert created["state"] == "failed"
        assert path.name in created["reason"]
        assert created["config"] == {"a": "***"}


async def test_a_checksum_of_what_is_no_file_is_not_waited_for(world: World, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    wanted = {"name": "Pipe", "command": f"file://{pipe}", "checksum": "ab" * 32}
    async with asyncio.timeout(20):
        await world.admin.data("POST", "/plugins", wanted)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("checksum", "abc"),
        ("checksum", "g" * 64),
        ("checksum", "ab" * 33),
        ("checksum", 7),
        ("command", "file://relative"),
        ("command", "file:///opt/../etc/passwd"),
        ("command", "file:///opt//plugin"),
        ("command", "file:///opt/plu\ngin"),
        ("command", "file:///"),
        ("command", "file://host/opt/plugin"),
    ],
)
async def test_what_no_file_plugin_can_have_is_422_by_name(world: World, field: str, value: object) -> None:
    wanted = {"name": "Guard", "command": "file:///opt/plugin"}
    assert list(await world.admin.errors("POST", "/plugins", wanted | {field: value})) == [field]
    assert world.prober.tried == []


async def test_a_checksum_of_a_module_would_guard_nothing(world: World) -> None:
    wanted = {"name": "Guard", "command": "python://acme:Guard", "checksum": "ab" * 32}
    assert await world.admin.errors("POST", "/plugins", wanted) == {"checksum": "invalid"}
