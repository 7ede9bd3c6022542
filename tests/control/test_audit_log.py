"""Who changed what: every change of every resource, by any way, and no way around it."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from tests.control.conftest import TESTER, Api, World
from tests.control.test_dead_letters import add_letter, add_range
from tests.control.test_edge_payloads import add_payloads

from weir_control.store.kinds import APP
from weir_control.store.rows import fetch
from weir_control.store.tokens import add_token, ensure_admin_token
from weir_host.probe import ProbeResult

LLM = {"name": "OpenAI", "vendor": "openai", "api_endpoint": "https://api.openai.com/v1"}
PRICE = {"vendor": "openai", "model": "gpt-4o", "input": "1"}
PLUGIN = {"name": "Enricher", "command": "python://acme.enricher:Enricher"}
SECRET_SCHEMA = {"properties": {"api_key": {"writeOnly": True}}}

Expected = list[tuple[str, int | None, str]]

WRITES: dict[tuple[str, str], tuple[str, Any, Expected]] = {
    ("post", "/llms"): ("/llms", LLM | {"slug": "other"}, [("llms", 2, "create")]),
    ("put", "/llms/{llm_id}"): ("/llms/1", LLM | {"timeout_seconds": 9}, [("llms", 1, "update")]),
    ("patch", "/llms/{llm_id}"): ("/llms/1", {"timeout_seconds": 9}, [("llms", 1, "update")]),
    ("delete", "/llms/{llm_id}"): ("/llms/1", None, [("apps", 1, "update"), ("llms", 1, "delete")]),
    ("put", "/llms/{llm_id}/plugins"): ("/llms/1/plugins", {"plugin_ids": [1]}, [("llms", 1, "update")]),
    ("post", "/apps"): ("/apps", {"name": "b"}, [("apps", 2, "create")]),
    ("put", "/apps/{app_id}"): ("/apps/1", {"name": "b"}, [("apps", 1, "update")]),
    ("patch", "/apps/{app_id}"): ("/apps/1", {"llm_ids": []}, [("apps", 1, "update")]),
    ("delete", "/apps/{app_id}"): ("/apps/1", None, [("credentials", 1, "delete"), ("apps", 1, "delete")]),
    ("post", "/apps/{app_id}/credentials"): ("/apps/1/credentials", {}, [("credentials", 2, "create")]),
    ("delete", "/apps/{app_id}/credentials/{credential_id}"): (
        "/apps/1/credentials/1",
        None,
        [("credentials", 1, "delete")],
    ),
    ("post", "/plugins"): ("/plugins", PLUGIN | {"slug": "other"}, [("plugins", 2, "create")]),
    ("put", "/plugins/{plugin_id}"): (
        "/plugins/1",
        PLUGIN | {"config": {"a": 1}},
        [("plugins", 1, "update")],
    ),
    ("patch", "/plugins/{plugin_id}"): ("/plugins/1", {"description": "d"}, [("plugins", 1, "update")]),
    ("delete", "/plugins/{plugin_id}"): ("/plugins/1", None, [("plugins", 1, "delete")]),
    ("post", "/plugins/{plugin_id}/reload"): ("/plugins/1/reload", None, [("plugins", 1, "reload")]),
    ("post", "/model-prices"): ("/model-prices", PRICE | {"model": "b"}, [("model-prices", 2, "create")]),
    ("put", "/model-prices/{price_id}"): (
        "/model-prices/1",
        PRICE | {"input": "2"},
        [("model-prices", 1, "update")],
    ),
    ("patch", "/model-prices/{price_id}"): (
        "/model-prices/1",
        {"input": "2"},
        [("model-prices", 1, "update")],
    ),
    ("delete", "/model-prices/{price_id}"): ("/model-prices/1", None, [("model-prices", 1, "delete")]),
    ("post", "/dead-letters/{letter_id}/redrive"): (
        "/dead-letters/1/redrive",
        None,
        [("dead-letters", 1, "redrive")],
    ),
    ("post", "/dead-letters/ranges/{range_id}/redrive"): (
        "/dead-letters/ranges/1/redrive",
        None,
        [("dead-letter-ranges", 1, "redrive")],
    ),
    ("post", "/dead-letters/redrive"): (
        "/dead-letters/redrive?collector=warehouse",
        None,
        [("dead-letters", None, "redrive")],
    ),
    ("post", "/edge-payloads/{payload_id}/redrive"): (
        "/edge-payloads/1/redrive",
        None,
        [("edge-payloads", 1, "redrive")],
    ),
    ("post", "/tokens"): ("/tokens", {"name": "t", "role": "viewer"}, [("tokens", 3, "create")]),
    ("delete", "/tokens/{token_id}"): ("/tokens/2", None, [("tokens", 2, "delete")]),
}
"""For each route that changes anything: a request in a furnished world, and what the log then says."""


@pytest.fixture
async def furnished(world: World) -> World:
    """One object of each kind, each with the id 1 (but for the token: the first is the admin's)."""
    admin = world.admin
    await admin.llm(api_key="sk-upstream")
    await admin.plugin()
    await admin.app(llm_ids=[1])
    await admin.data("POST", "/apps/1/credentials", {})
    await admin.data("POST", "/model-prices", PRICE)
    await admin.data("POST", "/tokens", {"name": "other", "role": "auditor"})
    await add_letter(world, app_id=1)
    await add_range(world)
    await add_payloads(world, "dead-1", failed=True)
    return world


async def entries(api: Api, query: str = "") -> list[Any]:
    found: list[Any] = await api.data("GET", f"/audit-log{query}")
    return found


async def test_the_table_names_every_route_that_changes_anything(world: World) -> None:
    paths = (await world.client.get("/openapi.json")).json()["paths"]
    writing = {
        (method, path.removeprefix("/api/v1"))
        for path, methods in paths.items()
        for method in methods
        if method != "get"
    }
    assert writing == set(WRITES)


@pytest.mark.parametrize(("method", "path"), WRITES, ids=" ".join)
async def test_each_change_is_logged_with_who_when_and_what(furnished: World, method: str, path: str) -> None:
    url, body, expected = WRITES[method, path]
    before = len(await entries(furnished.admin, "?limit=100"))
    answer = await furnished.admin(method.upper(), url, body)
    assert answer.is_success, answer.text
    found = (await entries(furnished.admin, "?limit=100"))[: -before or None]
    assert sorted((item["resource"], item["object_id"], item["action"]) for item in found) == sorted(expected)
    for item in found:
        assert item["actor"] == {"kind": "token", "token_id": 1, "name": "admin_token", "role": "admin"}
        assert item["request_id"] == answer.headers["x-request-id"]
        if "x-weir-revision" in answer.headers:
            assert item["revision"] == int(answer.headers["x-weir-revision"])
            assert item["changed"]
            assert (item["before"] is None) == (item["action"] == "create")
        assert (item["after"] is None) == (item["action"] == "delete")


async def test_an_entry_shows_the_object_before_and_after(furnished: World) -> None:
    await furnished.admin.data("PATCH", "/apps/1", {"description": "new", "llm_ids": []})
    [entry, *_] = await entries(furnished.admin)
    assert entry["changed"] == ["description", "llm_ids"]
    assert (entry["before"]["description"], entry["after"]["description"]) == ("", "new")
    assert (entry["before"]["llm_ids"], entry["after"]["llm_ids"]) == ([1], [])


async def test_an_entry_names_fields_as_the_api_does(furnished: World) -> None:
    await furnished.admin.data("POST", "/apps/1/credentials", {"expires_at": "2099-12-31T23:59:59Z"})
    await furnished.admin.data("PATCH", "/model-prices/1", {"effective_from": "2026-01-01T00:00:00Z"})
    price, credential, *_ = await entries(furnished.admin)
    assert credential["after"]["expires_at"] == "2099-12-31T23:59:59.000000Z"
    assert price["changed"] == ["effective_from"]
    for entry in await entries(furnished.admin, "?limit=100"):
        assert not any(name.endswith(("_us", "_sealed", "_hash")) for name in entry["after"])


async def test_a_replaced_secret_is_named_and_not_shown(world: World) -> None:
    world.prober.results[PLUGIN["command"]] = ProbeResult(
        ok=True, hooks=frozenset(("auth",)), config_schema=SECRET_SCHEMA
    )
    await world.admin.llm(api_key="first-upstream-key")
    await world.admin.plugin(config={"api_key": "first-plugin-key"})
    await world.admin.data("PATCH", "/llms/1", {"api_key": "second-upstream-key"})
    await world.admin.data("PATCH", "/plugins/1", {"config": {"api_key": "second-plugin-key"}})
    override = [{"plugin_id": 1, "config_override": {"api_key": "third-plugin-key"}}]
    await world.admin.data("PUT", "/llms/1/plugins", {"plugins": override})
    found = await entries(world.admin, "?limit=3")
    assert [item["changed"] for item in found] == [["plugins"], ["config"], ["api_key"]]
    assert found[1]["before"]["config"] == found[1]["after"]["config"] == {"api_key": "***"}
    text = (await world.admin("GET", "/audit-log?limit=100")).text
    for secret in ("first-", "second-", "third-"):
        assert secret not in text


async def test_changes_from_the_command_line_and_at_the_start_are_logged_too(world: World) -> None:
    async with world.store.changing(TESTER) as change:
        await add_token(change, "by hand", "viewer")
    await ensure_admin_token(world.store, "another")
    found = await entries(world.as_("another"))
    kinds = [(item["actor"]["kind"], item["action"], item["resource"]) for item in found]
    assert kinds == [
        ("start", "create", "tokens"),
        ("start", "delete", "tokens"),
        ("command_line", "create", "tokens"),
        ("start", "create", "tokens"),
    ]
    assert found[2]["actor"]["name"] == "tester"
    assert "another" not in str(found)


async def test_a_change_that_is_refused_leaves_no_entry(furnished: World) -> None:
    before = await entries(furnished.admin)
    await furnished.admin.problem(422, "PATCH", "/apps/1", {"llm_ids": [77]})
    await furnished.admin.problem(404, "DELETE", "/apps/99")
    await (await furnished.caller("viewer")).problem(403, "DELETE", "/apps/1")
    assert (await entries(furnished.admin))[1:] == before


async def test_an_entry_commits_with_its_change_or_not_at_all(world: World) -> None:
    async def fail_after_writing() -> None:
        async with world.store.changing(TESTER) as change:
            await add_token(change, "never", "viewer")
            await fetch(change.connection, APP, 99)

    with pytest.raises(Exception, match="no app"):
        await fail_after_writing()
    assert "never" not in str(await entries(world.admin))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?resource=apps", [("apps", 1)]),
        ("?resource=tokens&id=2", [("tokens", 2)]),
        ("?resource=nothing", []),
        ("?actor=1&limit=2", [("tokens", 2), ("model-prices", 1)]),
        ("?actor=9", []),
        ("?from=2999-01-01T00:00:00Z", []),
        ("?to=2000-01-01T00:00:00Z", []),
    ],
)
async def test_filters_restrict(furnished: World, query: str, expected: list[tuple[str, int]]) -> None:
    found = await entries(furnished.admin, query)
    assert [(item["resource"], item["object_id"]) for item in found] == expected


async def test_pages_follow_each_other_newest_first(furnished: World) -> None:
    everything = [item["id"] for item in await entries(furnished.admin)]
    assert everything == sorted(everything, reverse=True)
    paged: list[int] = []
    query = "?limit=2"
    while True:
        answer = (await furnished.admin("GET", f"/audit-log{query}")).json()
        paged += [item["id"] for item in answer["data"]]
        if answer["next_cursor"] is None:
            break
        query = f"?limit=2&cursor={answer['next_cursor']}"
    assert paged == everything


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("id=1", "resource"),
        ("id=0&resource=apps", "id"),
        ("resource=Apps%20", "resource"),
        ("cursor=x", "cursor"),
        ("cursor=99999999999999999999", "cursor"),
        ("limit=101", "limit"),
        ("from=yesterday", "from"),
        ("who=1", "who"),
    ],
)
async def test_a_filter_that_cannot_be_is_422_by_name(world: World, query: str, field: str) -> None:
    assert list(await world.admin.errors("GET", f"/audit-log?{query}")) == [field]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_no_route_changes_it(furnished: World, method: str) -> None:
    for path in ("/audit-log", "/audit-log/1"):
        assert (await furnished.admin(method, path)).status_code in (404, 405)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_log SET actor_name = 'nobody'",
        "DELETE FROM audit_log",
        "DELETE FROM audit_log WHERE id = 1",
    ],
)
async def test_the_database_itself_refuses_to_change_it(world: World, tmp_path: Path, statement: str) -> None:
    connection = sqlite3.connect(tmp_path / "weir.db")
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute(statement)
    connection.close()
    assert await entries(world.admin)
