"""LLMs: what may be written, what is shown, what happens to those who refer to them."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select
from tests.control.conftest import Api, World, refusal

from weir_control.store.tables import llms

LLM = {"name": "OpenAI", "vendor": "openai", "api_endpoint": "https://api.openai.com/v1"}


async def test_an_llm_is_answered_with_its_defaults_and_without_its_key(admin: Api) -> None:
    created = await admin.llm(api_key="sk-secret")
    assert {key: created[key] for key in created if not key.endswith("_at")} == {
        "id": 1,
        "name": "OpenAI",
        "slug": "openai",
        "vendor": "openai",
        "api_endpoint": "https://api.openai.com/v1",
        "has_api_key": True,
        "allowed_models": [],
        "default_model": None,
        "is_active": True,
        "timeout_seconds": 300,
        "body_capture": "full",
        "namespace": "",
        "metadata": {},
    }
    assert await admin.data("GET", "/llms/1") == created
    assert await admin.data("GET", "/llms") == [created]


async def test_the_key_is_encrypted_at_rest_and_open_in_the_snapshot(world: World) -> None:
    await world.admin.llm(api_key="sk-secret")
    async with world.store.reading() as connection:
        sealed = (await connection.execute(select(llms.c.api_key_sealed))).scalar_one()
    assert b"sk-secret" not in sealed
    key = (await world.published()).llms[1].api_key
    assert key is not None
    assert key.reveal() == "sk-secret"


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("OpenAI", "openai"),
        ("My  LLM (prod)!", "my-llm-prod"),
        ("Größe", "grosse"),
        ("GPT-4.1", "gpt-4-1"),
        ("x" * 200, "x" * 63),
    ],
)
async def test_a_slug_is_made_from_the_name(admin: Api, name: str, slug: str) -> None:
    expected = slug.replace("grosse", "groe")
    assert (await admin.llm(name=name))["slug"] == expected


async def test_a_name_without_letters_needs_a_slug(admin: Api) -> None:
    assert await admin.errors("POST", "/llms", LLM | {"name": "日本語"}) == {"slug": "required"}
    assert (await admin.llm(name="日本語", slug="nihongo"))["slug"] == "nihongo"


@refusal
@pytest.mark.parametrize("slug", ["", "A", "a b", "a/b", "-a", "a-", "a..b", "ä", "a" * 64, "a\n", "..", 7])
async def test_a_slug_that_cannot_stand_in_a_url_is_422(refusing: Api, slug: Any) -> None:
    assert list(await refusing.errors("POST", "/llms", LLM | {"slug": slug})) == ["slug"]


async def test_a_slug_that_is_taken_is_409_and_says_by_whom(admin: Api) -> None:
    first = await admin.llm()
    problem = await admin.problem(409, "POST", "/llms", LLM)
    assert f"LLM {first['id']}" in problem["detail"]
    second = await admin.llm(slug="other")
    await admin.problem(409, "PATCH", f"/llms/{second['id']}", {"slug": "openai"})
    assert (await admin.data("PATCH", f"/llms/{first['id']}", {"slug": "openai"}))["slug"] == "openai"


@refusal
@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        "api.openai.com",
        "ftp://api.openai.com",
        "file:///etc/passwd",
        "https://",
        "https:///v1",
        "https://user:pass@api.openai.com",
        "https://api.openai.com?key=1",
        "https://api.openai.com/v1?",
        "https://api.openai.com/v1#x",
        "https://api.openai.com:0",
        "https://api.openai.com:99999",
        "https://api.openai.com:port",
        "https://api openai.com",
        "https://api.openai.com/a/../b",
        "https://api.openai.com\\@evil.example",
        "https://[::1",
        "https://exämple.com",
        "https://a\r\nx: y",
        " https://api.openai.com",
        None,
        7,
    ],
)
async def test_an_endpoint_that_is_no_base_url_is_422(refusing: Api, endpoint: Any) -> None:
    assert list(await refusing.errors("POST", "/llms", LLM | {"api_endpoint": endpoint})) == ["api_endpoint"]


@pytest.mark.parametrize(
    "endpoint",
    ["http://127.0.0.1:8080", "http://[::1]:8080/v1", "HTTPS://api.example.com/", "http://mock_upstream"],
)
async def test_other_base_urls_are_accepted(admin: Api, endpoint: str) -> None:
    assert (await admin.llm(api_endpoint=endpoint))["api_endpoint"] == endpoint


@refusal
async def test_an_unknown_vendor_is_422_with_the_names_there_are(refusing: Api) -> None:
    problem = await refusing.problem(422, "POST", "/llms", LLM | {"vendor": "opnai"})
    [error] = problem["errors"]
    assert (error["field"], error["code"]) == ("vendor", "unknown_vendor")
    assert "openai, openai_compatible, anthropic" in error["message"]


@refusal
@pytest.mark.parametrize("key", ["", "with space", "line\nbreak", "ümlaut", 7])
async def test_a_key_that_cannot_stand_in_a_header_is_422(refusing: Api, key: Any) -> None:
    assert list(await refusing.errors("POST", "/llms", LLM | {"api_key": key})) == ["api_key"]


@refusal
@pytest.mark.parametrize("patterns", [["("], ["a", "["], ["a)|(b"], [""], [7], "gpt", ["a{99999999999}"]])
async def test_models_that_are_no_regular_expressions_are_422(refusing: Api, patterns: Any) -> None:
    errors = await refusing.errors("POST", "/llms", LLM | {"allowed_models": patterns})
    assert all(field.startswith("allowed_models") for field in errors)


@refusal
@pytest.mark.parametrize("patterns", [["(?i)gpt"], ["(?P<a>x)", "(?P<a>y)"]])
async def test_patterns_that_cannot_stand_in_one_alternation_are_422(refusing: Api, patterns: Any) -> None:
    errors = await refusing.errors("POST", "/llms", LLM | {"allowed_models": ["a", *patterns]})
    assert all(field.startswith("allowed_models") for field in errors)


async def test_a_flag_inside_a_group_is_accepted(admin: Api) -> None:
    assert (await admin.llm(allowed_models=["(?i:gpt-4o.*)", "o3"]))["allowed_models"] == [
        "(?i:gpt-4o.*)",
        "o3",
    ]


async def test_the_default_model_must_be_an_allowed_one(admin: Api) -> None:
    wanted = LLM | {"allowed_models": ["gpt-4o.*"], "default_model": "gpt-3.5"}
    assert await admin.errors("POST", "/llms", wanted) == {"default_model": "invalid"}
    await admin.llm(allowed_models=["gpt-4o.*"], default_model="gpt-4o-mini")


@refusal
@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("name", "", "invalid"),
        ("name", "   ", "invalid"),
        ("name", "a\nb", "invalid"),
        ("name", "x" * 201, "invalid"),
        ("name", None, "wrong_type"),
        ("is_active", "true", "wrong_type"),
        ("is_active", 1, "wrong_type"),
        ("is_active", None, "wrong_type"),
        ("timeout_seconds", 0, "invalid"),
        ("timeout_seconds", 3601, "invalid"),
        ("timeout_seconds", "30", "wrong_type"),
        ("timeout_seconds", True, "wrong_type"),
        ("timeout_seconds", 1.5, "wrong_type"),
        ("body_capture", "some", "invalid"),
        ("namespace", "../../etc", "invalid"),
        ("namespace", None, "wrong_type"),
        ("metadata", [], "wrong_type"),
        ("apikey", "sk", "unknown_field"),
        ("id", 7, "unknown_field"),
        ("has_api_key", True, "unknown_field"),
    ],
)
async def test_a_wrong_field_is_422_by_name(refusing: Api, field: str, value: Any, code: str) -> None:
    assert await refusing.errors("POST", "/llms", LLM | {field: value}) == {field: code}


async def test_patch_changes_what_it_names_and_nothing_else(world: World) -> None:
    before = await world.admin.llm(api_key="sk-1", metadata={"team": "a", "tier": 1}, timeout_seconds=20)
    after = await world.admin.data(
        "PATCH", f"/llms/{before['id']}", {"name": "New name", "metadata": {"team": "b", "tier": None}}
    )
    changed = {"name": "New name", "metadata": {"team": "b"}, "updated_at": after["updated_at"]}
    assert after == before | changed
    key = (await world.published()).llms[before["id"]].api_key
    assert key is not None
    assert key.reveal() == "sk-1"


async def test_patch_with_null_takes_the_key_away(admin: Api) -> None:
    llm = await admin.llm(api_key="sk-1")
    assert (await admin.data("PATCH", f"/llms/{llm['id']}", {"api_key": None}))["has_api_key"] is False


async def test_patch_validates_the_whole_object(admin: Api) -> None:
    llm = await admin.llm(default_model="gpt-4o")
    errors = await admin.errors("PATCH", f"/llms/{llm['id']}", {"allowed_models": ["claude.*"]})
    assert errors == {"default_model": "invalid"}
    assert await admin.errors("PATCH", f"/llms/{llm['id']}", {"nme": "x"}) == {"nme": "unknown_field"}
    assert await admin.errors("PATCH", f"/llms/{llm['id']}", {"name": None}) == {"name": "wrong_type"}


async def test_put_returns_what_it_leaves_out_to_its_default_but_keeps_the_slug(admin: Api) -> None:
    before = await admin.llm(
        api_key="sk-1", slug="prod", timeout_seconds=20, metadata={"a": 1}, is_active=False
    )
    after = await admin.data("PUT", f"/llms/{before['id']}", LLM | {"name": "Other"})
    assert (after["slug"], after["name"], after["has_api_key"]) == ("prod", "Other", False)
    assert (after["timeout_seconds"], after["metadata"], after["is_active"]) == (300, {}, True)
    assert await admin.errors("PUT", f"/llms/{before['id']}", {"name": "x"}) == {
        "vendor": "required",
        "api_endpoint": "required",
    }


async def test_deleting_an_llm_takes_it_from_apps_and_lists_of_plugins(world: World) -> None:
    admin = world.admin
    first, second = await admin.llm(), await admin.llm(slug="second")
    app = await admin.app(llm_ids=[first["id"], second["id"]])
    plugin = await admin.plugin()
    await admin.data("PUT", f"/llms/{first['id']}/plugins", {"plugin_ids": [plugin["id"]]})
    deleted = await admin("DELETE", f"/llms/{first['id']}")
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert (await admin.data("GET", f"/apps/{app['id']}"))["llm_ids"] == [second["id"]]
    snapshot = await world.published(deleted)
    assert set(snapshot.llms) == {second["id"]}
    assert snapshot.apps[app["id"]].llm_ids == (second["id"],)
    await admin.data("DELETE", f"/plugins/{plugin['id']}")
    await admin.problem(404, "DELETE", f"/llms/{first['id']}")


async def test_an_id_is_never_given_out_again(admin: Api) -> None:
    llm = await admin.llm()
    await admin.data("DELETE", f"/llms/{llm['id']}")
    assert (await admin.llm())["id"] > llm["id"]
