"""A token that is bound to namespaces: what lies outside them does not exist for it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from tests.control.conftest import Api, World
from tests.control.test_dead_letters import add_letter
from tests.control.test_records import store_records

from weir_collectors.kinds import EventKind
from weir_control.workers import PluginReport, Report

LLM = {"name": "L", "vendor": "openai", "api_endpoint": "https://api.openai.com/v1", "namespace": "north"}
PLUGIN = {"name": "P", "command": "python://acme:P", "namespace": "north"}
APP = {"name": "A", "namespace": "north"}

BODIES: dict[tuple[str, str], Any] = {
    ("put", "/llms/{llm_id}"): LLM,
    ("put", "/llms/{llm_id}/plugins"): {"plugin_ids": []},
    ("put", "/apps/{app_id}"): APP,
    ("put", "/plugins/{plugin_id}"): PLUGIN,
    ("post", "/apps/{app_id}/credentials"): {},
}
WITHOUT_NAMESPACE = re.compile(r"\{(?:price|token|range)_id\}")
SLUGS = {1: "south-plugin", 3: "all-plugin"}


@pytest.fixture
async def divided(world: World) -> World:
    """The same things in the south (ids 1), in the north (ids 2) and for all (ids 3)."""
    for namespace in ("south", "north", ""):
        name = namespace or "all"
        llm = await world.admin.llm(slug=f"{name}-llm", namespace=namespace)
        plugin = await world.admin.plugin(slug=f"{name}-plugin", namespace=namespace)
        app = await world.admin.app(name=f"{name} app", namespace=namespace, llm_ids=[llm["id"]])
        await world.admin.data("POST", f"/apps/{app['id']}/credentials", {})
        await world.admin.data("PUT", f"/llms/{llm['id']}/plugins", {"plugin_ids": [plugin["id"]]})
    return world


@pytest.fixture
async def north(divided: World) -> Api:
    return await divided.caller("admin", "north")


async def routes(world: World) -> list[tuple[str, str]]:
    paths = (await world.client.get("/openapi.json")).json()["paths"]
    return [
        (method, path.removeprefix("/api/v1"))
        for path, methods in paths.items()
        for method in methods
        if "{" in path and not WITHOUT_NAMESPACE.search(path)
    ]


@pytest.mark.parametrize("outside", [1, 3])
async def test_each_route_to_an_object_outside_is_404_and_changes_nothing(
    divided: World, north: Api, outside: int
) -> None:
    revision = (await divided.published()).revision
    letter_id = await add_letter(divided, app_id=outside)
    for method, path in await routes(divided):
        url = path.replace("{letter_id}", str(letter_id)).replace("{name}", SLUGS[outside])
        url = re.sub(r"\{\w+\}", str(outside), url)
        body = BODIES.get((method, path), {} if method == "patch" else None)
        await north.problem(404, method.upper(), url, body)
    assert (await divided.published()).revision == revision


async def test_each_route_to_an_object_inside_works(divided: World, north: Api) -> None:
    for path in ("/llms/2", "/llms/2/plugins", "/apps/2", "/apps/2/credentials/2", "/plugins/2/health"):
        assert (await north("GET", path)).status_code == 200
    for path in ("/llms/2", "/apps/2", "/plugins/2"):
        assert (await north("PATCH", path, {"name": "renamed"})).status_code == 200


@pytest.mark.parametrize("path", ["/llms", "/apps", "/plugins"])
async def test_lists_and_their_totals_tell_of_the_own_only(divided: World, north: Api, path: str) -> None:
    answer = (await north("GET", path)).json()
    assert [item["id"] for item in answer["data"]] == [2]
    assert answer["pagination"]["total"] == 1
    for namespaces, expected in ((("north", "south"), [1, 2]), (("",), [3]), ((), [1, 2, 3])):
        caller = await divided.caller("viewer", *namespaces)
        assert [item["id"] for item in await caller.data("GET", path)] == expected


@pytest.mark.parametrize(("path", "body"), [("/llms", LLM), ("/apps", APP), ("/plugins", PLUGIN)])
@pytest.mark.parametrize("namespace", ["south", ""])
async def test_nothing_can_be_made_outside_or_moved_there(
    divided: World, north: Api, path: str, body: dict[str, Any], namespace: str
) -> None:
    revision = (await divided.published()).revision
    outside = (
        body | {"namespace": namespace, "slug": "new"} if path != "/apps" else body | {"namespace": namespace}
    )
    for method, url, sent in (
        ("POST", path, outside),
        ("PUT", f"{path}/2", outside),
        ("PATCH", f"{path}/2", {"namespace": namespace}),
    ):
        problem = await north.problem(403, method, url, sent)
        assert [error["field"] for error in problem["errors"]] == ["namespace"]
    assert (await divided.published()).revision == revision
    del outside["namespace"]
    await north.problem(403, "POST", path, outside)


@pytest.mark.parametrize("llm_id", [1, 3, 77])
async def test_an_llm_outside_cannot_be_granted_and_looks_like_none(north: Api, llm_id: int) -> None:
    errors = await north.errors("PATCH", "/apps/2", {"llm_ids": [2, llm_id]})
    assert errors == {"llm_ids[1]": "unknown_llm"}


async def test_what_somebody_else_granted_may_stay(divided: World, north: Api) -> None:
    await divided.admin.data("PATCH", "/apps/2", {"llm_ids": [2, 3]})
    assert (await north.data("PATCH", "/apps/2", {"name": "renamed"}))["llm_ids"] == [2, 3]
    assert (await north.data("PATCH", "/apps/2", {"llm_ids": [3]}))["llm_ids"] == [3]
    await north.data("PATCH", "/apps/2", {"llm_ids": []})
    await north.errors("PATCH", "/apps/2", {"llm_ids": [3]})


async def test_plugins_and_default_apps_outside_look_like_none(divided: World, north: Api) -> None:
    for plugin_id in (1, 3, 77):
        errors = await north.errors("PUT", "/llms/2/plugins", {"plugin_ids": [plugin_id]})
        assert errors == {"plugin_ids[0]": "invalid"}
    for app_id in (1, 3, 77):
        body = {"plugins": [{"plugin_id": 2, "default_app_id": app_id}]}
        assert await north.errors("PUT", "/llms/2/plugins", body) == {
            "plugins[0].default_app_id": "unknown_app"
        }


async def test_a_plugin_that_somebody_else_attached_may_stay(divided: World, north: Api) -> None:
    await divided.admin.data("PUT", "/llms/2/plugins", {"plugin_ids": [3, 2]})
    assert len(await north.data("PUT", "/llms/2/plugins", {"plugin_ids": [2, 3]})) == 2
    await north.data("PUT", "/llms/2/plugins", {"plugin_ids": [2]})
    await north.errors("PUT", "/llms/2/plugins", {"plugin_ids": [3]})


async def test_the_configuration_of_a_plugin_outside_cannot_be_overridden(divided: World, north: Api) -> None:
    shared = {"plugin_id": 3, "config_override": {"url": "https://kept.example"}}
    await divided.admin.data("PUT", "/llms/2/plugins", {"plugins": [shared]})
    await north.data("PUT", "/llms/2/plugins", {"plugins": [shared | {"timeout_ms": 5}]})
    redirected = shared | {"config_override": {"url": "https://mine.example"}}
    problem = await north.problem(403, "PUT", "/llms/2/plugins", {"plugins": [redirected]})
    assert [error["field"] for error in problem["errors"]] == ["plugins[0].config_override"]
    await north.data("PUT", "/llms/2/plugins", {"plugin_ids": [3]})


async def test_a_taken_slug_does_not_say_by_whom(north: Api) -> None:
    problem = await north.problem(409, "POST", "/llms", LLM | {"slug": "south-llm"})
    assert "another namespace" in problem["detail"]
    problem = await north.problem(409, "POST", "/llms", LLM | {"slug": "north-llm"})
    assert "LLM 2" in problem["detail"]


async def test_what_stands_in_the_way_of_a_deletion_is_not_named_outside(divided: World) -> None:
    await divided.admin.data("PUT", "/llms/1/plugins", {"plugin_ids": [3]})
    shared = await divided.caller("admin", "")
    problem = await shared.problem(409, "DELETE", "/plugins/3")
    assert "south" not in problem["detail"]
    assert "other namespaces" in problem["detail"]


async def test_prices_stand_for_all_and_are_read_only(divided: World, north: Api) -> None:
    price = {"vendor": "openai", "model": "gpt-4o", "input": "1"}
    await divided.admin.data("POST", "/model-prices", price)
    assert len(await north.data("GET", "/model-prices")) == 1
    for method, path in (("POST", ""), ("PUT", "/1"), ("PATCH", "/1"), ("DELETE", "/1")):
        body = None if method == "DELETE" else price
        problem = await north.problem(403, method, f"/model-prices{path}", body)
        assert "bound" in problem["detail"]


async def test_records_are_those_of_the_apps_inside(divided: World, north: Api) -> None:
    for number, (app_id, llm_id) in enumerate([(1, 2), (2, 1), (None, 2), (None, 1), (99, 2), (2, None)]):
        value = f'{{"request_id": "{number}"}}'
        await store_records(divided, EventKind.PROXY_LOG, 1, app_id=app_id, llm_id=llm_id, value=value)
    seen = [item["request_id"] for item in await north.data("GET", "/records/proxy-logs")]
    assert sorted(seen) == ["1", "2", "5"]
    assert await north.data("GET", "/records/proxy-logs?app_id=1") == []
    assert len(await divided.admin.data("GET", "/records/proxy-logs")) == 6


async def test_proxies_are_those_inside_and_tell_of_the_own_plugins_only(divided: World, north: Api) -> None:
    states = {plugin_id: PluginReport("ready") for plugin_id in (1, 2, 3)}
    for namespace in ("north", "south", ""):
        report = Report(worker=f"in {namespace}", revision=1, namespace=namespace, plugins=states)
        divided.service.workers.record(report)
    answer = (await north("GET", "/proxies")).json()
    assert answer["pagination"]["total"] == 1
    assert [plugin["plugin_id"] for plugin in answer["data"][0]["plugins"]] == [2]


async def test_a_bound_token_makes_and_sees_only_tokens_that_reach_no_further(
    divided: World, north: Api
) -> None:
    for namespaces in ([], None, [""], ["south"], ["north", "south"]):
        wanted = {"name": "t", "role": "admin", "namespaces": namespaces}
        problem = await north.problem(403, "POST", "/tokens", wanted)
        assert [error["field"] for error in problem["errors"]] == ["namespaces"]
    made = await north.data("POST", "/tokens", {"name": "t", "role": "viewer", "namespaces": ["north"]})
    assert [token["namespaces"] for token in await north.data("GET", "/tokens")] == [["north"], ["north"]]
    await north.problem(404, "GET", "/tokens/1")
    await north.problem(404, "DELETE", "/tokens/1")
    assert (await north("DELETE", f"/tokens/{made['id']}")).status_code == 204


async def test_the_audit_log_tells_of_changes_inside_only(divided: World, north: Api) -> None:
    seen = await north.data("GET", "/audit-log?limit=100")
    assert {(item["resource"], item["object_id"]) for item in seen} == {
        ("llms", 2),
        ("plugins", 2),
        ("apps", 2),
        ("credentials", 2),
    }
    await divided.admin.data("PATCH", "/apps/2", {"namespace": "", "llm_ids": []})
    assert await north.data("GET", "/audit-log?limit=100") == seen


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/apps/1", {"llm_ids": [2]}),
        ("/apps/2", {"namespace": "south"}),
        ("/llms/2", {"namespace": "south"}),
        ("/plugins/2", {"namespace": "south"}),
    ],
)
async def test_nothing_refers_to_what_its_edges_do_not_see(
    divided: World, path: str, body: dict[str, Any]
) -> None:
    assert await divided.admin.errors("PATCH", path, body) == {"namespace": "invalid"}


async def test_a_default_app_is_seen_wherever_its_llm_is(divided: World) -> None:
    for llm_id, app_id in ((3, 2), (1, 2)):
        body = {"plugins": [{"plugin_id": llm_id, "default_app_id": app_id}]}
        errors = await divided.admin.errors("PUT", f"/llms/{llm_id}/plugins", body)
        assert errors == {"namespace": "invalid"}
    for app_id in (2, 3):
        body = {"plugins": [{"plugin_id": 2, "default_app_id": app_id}]}
        await divided.admin.data("PUT", "/llms/2/plugins", body)
    await divided.admin.data("PATCH", "/apps/3", {"llm_ids": []})
    assert await divided.admin.errors("PATCH", "/apps/3", {"namespace": "south"}) == {"namespace": "invalid"}
