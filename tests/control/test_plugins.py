"""Plugins: tried out before they are stored, secrets hidden, state observed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import select
from tests.control.conftest import Api, World

from weir_control.store.tables import plugins
from weir_control.workers import PluginReport, Report
from weir_host.probe import ProbeResult

COMMAND = "python://acme.enricher:Enricher"
BROKEN = ProbeResult(ok=False, reason="ModuleNotFoundError: acme")
PLUGIN = {"name": "Enricher", "command": COMMAND}
SCHEMA = {
    "type": "object",
    "properties": {"api_key": {"type": "string", "writeOnly": True}, "team": {"type": "string"}},
}


def starts(*hooks: str, schema: dict[str, Any] | None = None) -> ProbeResult:
    return ProbeResult(ok=True, hooks=frozenset(hooks), config_schema=schema)


async def test_a_plugin_is_answered_with_its_defaults(admin: Api) -> None:
    created = await admin.plugin(hook_type="pre_auth")
    assert {key: created[key] for key in created if not key.endswith("_at")} == {
        "id": 1,
        "name": "Enricher",
        "slug": "enricher",
        "description": "",
        "command": COMMAND,
        "checksum": None,
        "config": {},
        "hook_type": "pre_auth",
        "hook_types": ["pre_auth"],
        "collector": {
            "observer": False,
            "timeout_ms": 10000,
            "max_tries": 3,
            "window": 256,
            "on_outage": "store",
            "max_lag": 1_000_000,
        },
        "service_scopes": [],
        "is_active": True,
        "runtime": "gateway",
        "required_for_ready": False,
        "namespace": "",
        "state": "starting",
        "reason": "no worker has reported it yet",
    }
    assert await admin.data("GET", "/plugins") == [created]


async def test_everything_an_admin_sets_reaches_the_snapshot(world: World) -> None:
    wanted = PLUGIN | {
        "config": {"team": "a", "limits": [1, 2.5, None, True]},
        "hook_types": ["data_collection", "post_auth"],
        "collector": {"timeout_ms": 50, "max_tries": 1, "window": 8},
        "service_scopes": ["apps.read"],
        "is_active": False,
        "required_for_ready": True,
        "namespace": "north",
    }
    answer = await world.admin("POST", "/plugins", wanted)
    assert (await world.published(answer)).plugins == {}
    north = world.feed.current("north")
    assert north is not None
    plugin = north.plugins[1]
    assert plugin.config == wanted["config"]
    assert plugin.hook_types == ("data_collection", "post_auth")
    assert (plugin.collector.timeout_ms, plugin.collector.max_tries, plugin.collector.window) == (50, 1, 8)
    assert (plugin.service_scopes, plugin.is_active) == (("apps.read",), False)
    assert (plugin.required_for_ready, plugin.namespace) == (True, "north")
    [tried] = world.prober.tried
    assert tried.config == wanted["config"]


@pytest.mark.parametrize(
    ("fields", "hook_types"),
    [
        ({"hook_type": "response"}, ["on_response"]),
        ({"hook_types": ["response", "pre_auth"]}, ["on_response", "pre_auth"]),
        ({"hook_type": "auth", "hook_types": ["auth", "post_auth"]}, ["auth", "post_auth"]),
        ({"hook_type": "auth", "hook_types": ["post_auth"]}, ["auth", "post_auth"]),
        ({"hook_type": None, "hook_types": None}, ["pre_auth", "data_collection"]),
        ({"hook_types": []}, ["pre_auth", "data_collection"]),
        ({}, ["pre_auth", "data_collection"]),
    ],
)
async def test_hook_types_are_those_named_or_else_all_that_it_implements(
    world: World, fields: dict[str, Any], hook_types: list[str]
) -> None:
    if not any(fields.values()):
        world.prober.results[COMMAND] = starts("data_collection", "pre_auth", "handle_pre_auth")
    answer = await world.admin("POST", "/plugins", PLUGIN | fields)
    created = answer.json()["data"]
    assert (created["hook_types"], created["hook_type"]) == (hook_types, hook_types[0])
    assert (await world.published(answer)).plugins[1].hook_types == tuple(hook_types)


async def test_a_hook_type_that_the_plugin_does_not_implement_is_422(world: World) -> None:
    world.prober.results[COMMAND] = starts("pre_auth")
    wanted = PLUGIN | {"hook_types": ["pre_auth", "auth"]}
    assert await world.admin.errors("POST", "/plugins", wanted) == {"hook_types[1]": "not_implemented"}


async def test_a_plugin_without_any_hook_is_422(world: World) -> None:
    world.prober.results[COMMAND] = starts()
    assert await world.admin.errors("POST", "/plugins", PLUGIN) == {"hook_types": "not_implemented"}


@pytest.mark.parametrize(
    ("field", "value", "path"),
    [
        ("command", "", "command"),
        ("command", "python://", "command"),
        ("command", "python://os:", "command"),
        ("command", "python://a b:C", "command"),
        ("command", "acme.enricher", "command"),
        ("command", "python://acme:C; rm", "command"),
        ("hook_type", "before", "hook_type"),
        ("hook_types", ["auth", "auth"], "hook_types"),
        ("hook_types", "auth", "hook_types"),
        ("plugin_type", "edge", "plugin_type"),
        ("config", [], "config"),
        ("collector", {"timeout_ms": 0}, "collector.timeout_ms"),
        ("collector", {"tries": 1}, "collector.tries"),
        ("service_scopes", ["Apps Read"], "service_scopes[0]"),
        ("is_active", "yes", "is_active"),
        ("state", "ready", "state"),
    ],
)
async def test_a_wrong_field_is_422_and_the_plugin_is_not_even_tried(
    world: World, field: str, value: Any, path: str
) -> None:
    assert list(await world.admin.errors("POST", "/plugins", PLUGIN | {field: value})) == [path]
    assert world.prober.tried == []


async def test_a_config_against_the_plugins_schema_is_422_with_each_place(world: World) -> None:
    world.prober.results[COMMAND] = ProbeResult(
        ok=False,
        reason="its config does not fit its schema",
        config_schema=SCHEMA,
        schema_errors=[("", "'team' is a required property"), ("limits.0", "'x' is not of type 'integer'")],
    )
    errors = await world.admin.errors("POST", "/plugins", PLUGIN | {"config": {"limits": ["x"]}})
    assert errors == {"config": "config_schema", "config.limits.0": "config_schema"}
    assert await world.admin.data("GET", "/plugins") == []


async def test_a_new_plugin_that_cannot_start_is_stored_as_failed(world: World) -> None:
    world.prober.results[COMMAND] = BROKEN
    answer = await world.admin(
        "POST", "/plugins", PLUGIN | {"config": {"key": "secret"}, "hook_type": "auth"}
    )
    assert answer.status_code == 201
    created = answer.json()["data"]
    assert (created["state"], created["reason"]) == ("failed", "ModuleNotFoundError: acme")
    assert created["config"] == {"key": "***"}
    await world.admin.problem(404, "GET", "/plugins/1/config-schema")
    assert (await world.published(answer)).plugins[1].config == {"key": "secret"}


@pytest.mark.parametrize(
    "change", [{"config": {"a": 1}}, {"command": "python://acme:Other"}, {"hook_types": ["auth"]}]
)
@pytest.mark.parametrize("method", ["PATCH", "PUT"])
async def test_a_change_with_which_it_cannot_start_is_422_and_nothing_is_stored(
    world: World, method: str, change: dict[str, Any]
) -> None:
    before = await world.admin.plugin()
    revision = (await world.published()).revision
    world.prober.results = {COMMAND: BROKEN, "python://acme:Other": BROKEN}
    problem = await world.admin.problem(
        422, method, "/plugins/1", (PLUGIN if method == "PUT" else {}) | change
    )
    assert problem["code"] == "plugin_cannot_start"
    assert "ModuleNotFoundError: acme" in problem["detail"]
    assert await world.admin.data("GET", "/plugins/1") == before
    assert (await world.published()).revision == revision


async def test_a_change_that_python_cannot_see_is_tried_all_the_same(world: World) -> None:
    await world.admin.plugin(config={"a": 1})
    world.prober.results[COMMAND] = BROKEN
    await world.admin.problem(422, "PATCH", "/plugins/1", {"config": {"a": True}})


async def test_a_null_hook_type_in_a_patch_changes_nothing(admin: Api) -> None:
    await admin.plugin(hook_types=["auth"])
    assert (await admin.data("PATCH", "/plugins/1", {"hook_type": None}))["hook_types"] == ["auth"]


async def test_what_has_nothing_to_do_with_the_start_can_be_changed_on_a_broken_plugin(world: World) -> None:
    world.prober.results[COMMAND] = BROKEN
    await world.admin.plugin(hook_type="auth")
    tried = len(world.prober.tried)
    off = await world.admin.data("PATCH", "/plugins/1", {"is_active": False, "description": "broken"})
    assert (off["state"], off["description"]) == ("stopped", "broken")
    assert len(world.prober.tried) == tried
    await world.admin.problem(422, "PATCH", "/plugins/1", {"is_active": True})


async def test_a_change_that_mends_a_broken_plugin_is_stored(world: World) -> None:
    world.prober.results[COMMAND] = BROKEN
    await world.admin.plugin()
    mended = await world.admin.data("PATCH", "/plugins/1", {"command": "python://acme:Mended"})
    assert mended["state"] == "starting"
    assert mended["hook_types"]


async def test_what_the_schema_calls_write_only_is_never_shown(world: World) -> None:
    world.prober.results[COMMAND] = starts("auth", schema=SCHEMA)
    created = await world.admin.plugin(config={"api_key": "s3cret", "team": "a"})
    assert created["config"] == {"api_key": "***", "team": "a"}
    for path in ("/plugins", "/plugins/1"):
        assert "s3cret" not in (await world.admin("GET", path)).text
    async with world.store.reading() as connection:
        sealed = (await connection.execute(select(plugins.c.config_sealed))).scalar_one()
    assert b"s3cret" not in sealed
    assert b"team" not in sealed


async def test_a_patch_inside_config_keeps_its_other_parts(world: World) -> None:
    world.prober.results[COMMAND] = starts("auth", schema=SCHEMA)
    await world.admin.plugin(config={"api_key": "s3cret", "team": "a"})
    answer = await world.admin("PATCH", "/plugins/1", {"config": {"team": "b"}, "collector": {"window": 4}})
    assert answer.json()["data"]["collector"]["timeout_ms"] == 10000
    assert (await world.published(answer)).plugins[1].config == {"api_key": "s3cret", "team": "b"}


async def test_config_of_a_plugin_without_a_schema_is_for_admins_only(world: World) -> None:
    await world.admin.plugin(config={"key": "value"})
    assert (await world.admin.data("GET", "/plugins/1"))["config"] == {"key": "value"}
    assert (await (await world.caller("viewer")).data("GET", "/plugins/1"))["config"] == {"key": "***"}


async def test_a_patch_of_hook_type_replaces_the_list(admin: Api) -> None:
    await admin.plugin(hook_types=["pre_auth", "post_auth"])
    assert (await admin.data("PATCH", "/plugins/1", {"hook_type": "auth"}))["hook_types"] == ["auth"]
    patched = await admin.data("PATCH", "/plugins/1", {"hook_types": ["response"]})
    assert patched["hook_types"] == ["on_response"]


async def test_put_keeps_the_slug_and_nothing_else(admin: Api) -> None:
    await admin.plugin(slug="mine", description="d", config={"a": 1}, hook_type="auth", is_active=False)
    replaced = await admin.data("PUT", "/plugins/1", PLUGIN | {"name": "Renamed"})
    assert (replaced["slug"], replaced["description"], replaced["config"]) == ("mine", "", {})
    assert replaced["is_active"] is True
    assert len(replaced["hook_types"]) == 5


async def test_a_taken_slug_is_409_before_the_plugin_is_tried(world: World) -> None:
    await world.admin.plugin()
    tried = len(world.prober.tried)
    await world.admin.problem(409, "POST", "/plugins", PLUGIN)
    assert len(world.prober.tried) == tried


async def test_of_two_changes_at_the_same_time_one_is_409(world: World) -> None:
    await world.admin.plugin()
    world.prober.before_answer.clear()
    slow = asyncio.create_task(world.admin("PATCH", "/plugins/1", {"config": {"a": 1}}))
    while len(world.prober.tried) < 2:
        await asyncio.sleep(0)
    await world.admin.data("PATCH", "/plugins/1", {"description": "quick"})
    world.prober.before_answer.set()
    assert (await slow).status_code == 409
    assert (await world.admin.data("GET", "/plugins/1"))["description"] == "quick"


async def test_no_more_than_two_plugins_are_tried_at_once(world: World) -> None:
    world.prober.before_answer.clear()
    creating = [
        asyncio.create_task(world.admin("POST", "/plugins", PLUGIN | {"slug": f"p{number}"}))
        for number in range(5)
    ]
    while len(world.prober.tried) < 2:
        await asyncio.sleep(0)
    assert (await world.admin("GET", "/plugins")).status_code == 200
    assert len(world.prober.tried) == 2
    world.prober.before_answer.set()
    assert [answer.status_code for answer in await asyncio.gather(*creating)] == [201] * 5


async def test_reload_tries_again_and_makes_a_revision(world: World) -> None:
    world.prober.results[COMMAND] = BROKEN
    await world.admin.plugin(hook_type="auth")
    problem = await world.admin.problem(422, "POST", "/plugins/1/reload")
    assert problem["code"] == "plugin_cannot_start"
    del world.prober.results[COMMAND]
    answer = await world.admin("POST", "/plugins/1/reload")
    assert answer.json()["data"]["state"] == "starting"
    assert answer.headers["x-weir-revision"]


async def test_each_reload_publishes_a_higher_generation_and_a_change_does_not(world: World) -> None:
    generations = []
    for method, path, body in (
        ("POST", "/plugins", PLUGIN),
        ("PATCH", "/plugins/1", {"config": {"team": "b"}}),
        ("POST", "/plugins/1/reload", None),
        ("POST", "/plugins/1/reload", None),
    ):
        answer = await world.admin(method, path, body)
        generations.append((await world.published(answer)).plugins[1].generation)
    assert generations == [1, 1, 2, 3]


async def test_the_schema_of_a_plugin_can_be_asked_for(world: World) -> None:
    world.prober.results[COMMAND] = starts("auth", schema=SCHEMA)
    await world.admin.plugin()
    assert await world.admin.data("GET", "/plugins/1/config-schema") == SCHEMA
    await world.admin.plugin(name="other", command="python://acme:NoSchema")
    assert await world.admin.data("GET", "/plugins/2/config-schema") == {}


async def test_health_shows_each_process(world: World) -> None:
    answer = await world.admin("POST", "/plugins", PLUGIN)
    revision = int(answer.headers["x-weir-revision"])
    told = {"proxy-0": PluginReport("ready", "", 1), "proxy-1": PluginReport("failed", "no module", 2)}
    for worker, state in told.items():
        world.service.workers.record(Report(worker=worker, revision=revision, plugins={1: state}))
    health = await world.admin.data("GET", "/plugins/1/health")
    assert health == {
        "state": "degraded",
        "reason": "no module",
        "restarts": 3,
        "workers": {
            "proxy-0": {"state": "ready", "reason": "", "restarts": 1},
            "proxy-1": {"state": "failed", "reason": "no module", "restarts": 2},
        },
    }
    assert (await world.admin.data("GET", "/plugins/1"))["state"] == "degraded"
