"""The management calls of the reference's page, as they stand there, with a real plugin and a real trial start."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import httpx2
import pytest
from tests.control.conftest import Api, probing_admin

from weir_core.secrets import KeyRing
from weir_host.probe import probe

MY_PLUGIN = """
from weir_sdk import BasePlugin


class MyPlugin(BasePlugin):
    def __init__(self):
        super().__init__("my-plugin", "1.0.0", "Custom plugin")

    def get_config_schema(self):
        return {
            "type": "object",
            "properties": {
                "api_key": {"type": "string", "minLength": 1, "writeOnly": True},
                "batch_size": {"type": "integer", "minimum": 1, "maximum": 1000},
            },
        }

    async def handle_pre_auth(self, ctx, request):
        return None

    async def handle_post_auth(self, ctx, request):
        return None


class Crashing(MyPlugin):
    def initialize(self, ctx, config):
        raise RuntimeError("no licence found")
"""

DEPLOY = """{
    "name": "My Plugin",
    "slug": "my-plugin",
    "description": "Custom plugin",
    "command": "python://control_test_plugin:MyPlugin",
    "hook_type": "pre_auth",
    "is_active": true,
    "plugin_type": "gateway"
  }"""


@pytest.fixture
async def admin(
    tmp_path: Path, database_url: str, keyring: KeyRing, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Api]:
    (tmp_path / "control_test_plugin.py").write_text(MY_PLUGIN)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    prober = partial(probe, plugin_modules=None)
    async with probing_admin(tmp_path, database_url, keyring, prober) as api:
        yield api


async def curl(admin: Api, method: str, path: str, body: str, *, header: bool) -> httpx2.Response:
    """What ``curl -d`` sends, with and without the page's Content-Type header."""
    content_type = "application/json" if header else "application/x-www-form-urlencoded"
    return await admin(method, path, content=body.encode(), headers={"content-type": content_type})


async def test_step_5_and_6_deploy_and_attach(admin: Api) -> None:
    deployed = await curl(admin, "POST", "/plugins", DEPLOY, header=True)
    assert deployed.status_code == 201, deployed.text
    plugin = deployed.json()["data"]
    assert (plugin["slug"], plugin["hook_types"], plugin["state"]) == ("my-plugin", ["pre_auth"], "starting")
    for slug in ("second", "third"):
        await curl(admin, "POST", "/plugins", DEPLOY.replace('"my-plugin"', f'"{slug}"'), header=True)
    await admin.llm()
    attached = await curl(admin, "PUT", "/llms/1/plugins", '{"plugin_ids": [1, 2, 3]}', header=True)
    assert [item["plugin_id"] for item in attached.json()["data"]] == [1, 2, 3]


async def test_the_integration_test_needs_no_content_type(admin: Api) -> None:
    body = json.dumps({"command": "python://control_test_plugin:MyPlugin", "name": "My Plugin"})
    created = await curl(admin, "POST", "/plugins", body, header=False)
    assert created.status_code == 201, created.text
    assert created.json()["data"]["hook_types"] == ["pre_auth", "post_auth"]


async def test_a_real_config_against_a_real_schema_is_refused_place_by_place(admin: Api) -> None:
    body = json.loads(DEPLOY) | {"config": {"api_key": "", "batch_size": 0}}
    errors = await admin.errors("POST", "/plugins", body)
    assert errors == {"config.api_key": "config_schema", "config.batch_size": "config_schema"}
    created = await admin.data("POST", "/plugins", body | {"config": {"api_key": "k", "batch_size": 5}})
    assert created["config"] == {"api_key": "***", "batch_size": 5}
    refused = await admin("PATCH", "/plugins/1", {"config": {"api_key": ["s3cret"]}})
    assert refused.status_code == 422
    assert "s3cret" not in refused.text
    errors = await admin.errors("PATCH", "/plugins/1", {"config": {"batch_size": "5"}})
    assert errors == {"config.batch_size": "config_schema"}


async def test_a_real_plugin_that_crashes_is_stored_failed_but_replaces_nothing(admin: Api) -> None:
    await admin.data("POST", "/plugins", json.loads(DEPLOY))
    crashing = {"command": "python://control_test_plugin:Crashing"}
    problem = await admin.problem(422, "PATCH", "/plugins/1", crashing)
    assert "no licence found" in problem["detail"]
    assert (await admin.data("GET", "/plugins/1"))["command"].endswith(":MyPlugin")
    created = await admin.data("POST", "/plugins", crashing | {"name": "crashing", "hook_type": "auth"})
    assert created["state"] == "failed"
    assert "no licence found" in created["reason"]
