"""What each role may do: one table over every route there is."""

from __future__ import annotations

import re
from typing import Any

import pytest
from tests.control.conftest import Api, World

from weir_control.api.access import permission_for
from weir_control.principal import ROLES, Permission, Principal

EVERYBODY = "admin operator auditor viewer"
CHANGERS = "admin operator"
ADMIN = "admin"
AUDITORS = "admin auditor"

TABLE: dict[str, dict[str, str]] = {
    "/llms": {"get": EVERYBODY, "post": CHANGERS},
    "/llms/{llm_id}": {"get": EVERYBODY, "put": CHANGERS, "patch": CHANGERS, "delete": CHANGERS},
    "/llms/{llm_id}/plugins": {"get": EVERYBODY, "put": CHANGERS},
    "/apps": {"get": EVERYBODY, "post": CHANGERS},
    "/apps/{app_id}": {"get": EVERYBODY, "put": CHANGERS, "patch": CHANGERS, "delete": CHANGERS},
    "/apps/{app_id}/credentials": {"get": EVERYBODY, "post": ADMIN},
    "/apps/{app_id}/credentials/{credential_id}": {"get": EVERYBODY, "delete": CHANGERS},
    "/plugins": {"get": EVERYBODY, "post": CHANGERS},
    "/plugins/{plugin_id}": {"get": EVERYBODY, "put": CHANGERS, "patch": CHANGERS, "delete": CHANGERS},
    "/plugins/{plugin_id}/reload": {"post": CHANGERS},
    "/plugins/{plugin_id}/config-schema": {"get": EVERYBODY},
    "/plugins/{plugin_id}/health": {"get": EVERYBODY},
    "/model-prices": {"get": EVERYBODY, "post": CHANGERS},
    "/model-prices/{price_id}": {"get": EVERYBODY, "put": CHANGERS, "patch": CHANGERS, "delete": CHANGERS},
    "/records/proxy-logs": {"get": EVERYBODY},
    "/records/analytics": {"get": EVERYBODY},
    "/records/budget-usage": {"get": EVERYBODY},
    "/analytics/summary": {"get": EVERYBODY},
    "/collectors": {"get": EVERYBODY},
    "/collectors/{name}": {"get": EVERYBODY},
    "/consumer-groups": {"get": EVERYBODY},
    "/dead-letters": {"get": EVERYBODY},
    "/dead-letters/redrive": {"post": CHANGERS},
    "/dead-letters/{letter_id}": {"get": EVERYBODY},
    "/dead-letters/{letter_id}/redrive": {"post": CHANGERS},
    "/dead-letters/ranges": {"get": EVERYBODY},
    "/dead-letters/ranges/{range_id}": {"get": EVERYBODY},
    "/dead-letters/ranges/{range_id}/redrive": {"post": CHANGERS},
    "/edge-payloads": {"get": EVERYBODY},
    "/edge-payloads/{payload_id}/redrive": {"post": CHANGERS},
    "/proxies": {"get": EVERYBODY},
    "/audit-log": {"get": AUDITORS},
    "/tokens": {"get": AUDITORS, "post": ADMIN},
    "/tokens/{token_id}": {"get": AUDITORS, "delete": ADMIN},
}


@pytest.fixture
async def routes(world: World) -> dict[str, set[str]]:
    paths: dict[str, Any] = (await world.client.get("/openapi.json")).json()["paths"]
    return {
        path.removeprefix("/api/v1"): set(methods)
        for path, methods in paths.items()
        if path.startswith("/api/")
    }


async def test_the_table_names_every_route_and_no_other(routes: dict[str, set[str]]) -> None:
    assert routes == {path: set(methods) for path, methods in TABLE.items()}


@pytest.mark.parametrize("role", ROLES)
async def test_each_role_gets_what_the_table_says_and_is_told_which_role_it_lacks(
    world: World, role: str
) -> None:
    caller = await world.caller(role, *([""] if role == "edge" else []))
    for path, methods in TABLE.items():
        for method, allowed in methods.items():
            answer = await call(caller, method, path)
            where = f"{role}: {method} {path}: {answer.text}"
            if role in allowed.split():
                assert answer.status_code != 403, where
            else:
                assert answer.status_code == 403, where
                assert answer.headers["content-type"] == "application/problem+json"
                assert allowed.replace(" ", " or ") in answer.json()["detail"], where


async def call(caller: Api, method: str, path: str) -> Any:
    """A request for an object that is not there: nothing can come of it but an answer."""
    path = re.sub(r"\{\w+\}", "4000000000", path)
    return await caller(method.upper(), path, {} if method in ("post", "put", "patch") else None)


@pytest.mark.parametrize("path", ["/nothing", "/llmss", "/token", "/", "//tokens", "/apps\n"])
def test_what_the_table_does_not_name_is_nobodys(path: str) -> None:
    assert permission_for("GET", f"/api/v1{path}") is None


@pytest.mark.parametrize("permission", Permission)
def test_an_admin_may_do_everything_and_a_viewer_no_more_than_any_other_person(
    permission: Permission,
) -> None:
    assert Principal(1, "a", "admin").may(permission)
    if Principal(1, "v", "viewer").may(permission):
        people = set(ROLES) - {"edge"}
        assert all(Principal(1, "x", role).may(permission) for role in people)


def reports(*namespaces: str) -> dict[str, Any]:
    report = {"worker": "proxy-1", "revision": 7, "edge_id": "far away"}
    return {"reports": [report | {"namespace": namespace} for namespace in namespaces]}


async def test_an_edge_token_reports_for_its_namespaces_and_may_do_nothing_else(world: World) -> None:
    edge = await world.caller("edge", "team", "")
    await edge.data("POST", "/edge/reports", reports("team", ""))
    seen = await world.admin.data("GET", "/proxies")
    assert {(proxy["edge_id"], proxy["applied_revision"]) for proxy in seen} == {("far away", 7)}
    problem = await edge.problem(403, "POST", "/edge/reports", reports("team", "others"))
    assert "'others'" in problem["detail"]
    await edge.problem(403, "GET", "/proxies")


async def test_reports_need_a_token_and_a_body_that_is_one(world: World) -> None:
    await world.as_(None).problem(401, "POST", "/edge/reports", reports(""))
    viewer = await world.caller("viewer", "team")
    await viewer.problem(403, "POST", "/edge/reports", reports("team"))
    edge = await world.caller("edge", "team")
    await edge.problem(400, "POST", "/edge/reports", {"worker": "proxy-1"})


async def test_an_edge_token_that_is_bound_to_nothing_is_not_made(world: World) -> None:
    problem = await world.admin.problem(422, "POST", "/tokens", {"name": "edge", "role": "edge"})
    assert problem["errors"][0]["field"] == "namespaces"
