"""Apps and their credentials."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select
from tests.control.conftest import Api, World

from weir_control.store.tables import credentials
from weir_core.secrets import token_matches


async def test_an_app_is_answered_with_its_defaults(admin: Api) -> None:
    created = await admin.app()
    assert {key: created[key] for key in created if not key.endswith("_at")} == {
        "id": 1,
        "name": "Support bot",
        "description": "",
        "owner_email": "",
        "user_id": None,
        "llm_ids": [],
        "is_active": True,
        "body_capture": "full",
        "namespace": "",
        "metadata": {},
    }


@pytest.mark.parametrize(
    ("field", "value", "path"),
    [
        ("user_id", 7, "user_id"),
        ("user_id", "", "user_id"),
        ("owner_email", "nobody", "owner_email"),
        ("owner_email", "a b@example.com", "owner_email"),
        ("llm_ids", [99], "llm_ids[0]"),
        ("llm_ids", [1, 1], "llm_ids"),
        ("llm_ids", [-1], "llm_ids[0]"),
        ("llm_ids", [2**32], "llm_ids[0]"),
        ("llm_ids", None, "llm_ids"),
        ("description", 1, "description"),
        ("slug", "a", "slug"),
    ],
)
async def test_a_wrong_field_is_422_by_name(admin: Api, field: str, value: Any, path: str) -> None:
    await admin.llm()
    assert list(await admin.errors("POST", "/apps", {"name": "a", field: value})) == [path]


async def test_patch_keeps_the_llms_and_put_does_not(world: World) -> None:
    admin = world.admin
    llm = await admin.llm()
    app = await admin.app(llm_ids=[llm["id"]], user_id="ada", owner_email="ada@example.com")
    patched = await admin.data("PATCH", f"/apps/{app['id']}", {"name": "New"})
    assert (patched["llm_ids"], patched["user_id"]) == ([llm["id"]], "ada")
    answer = await admin("PUT", f"/apps/{app['id']}", {"name": "New"})
    assert (answer.json()["data"]["llm_ids"], answer.json()["data"]["user_id"]) == ([], None)
    assert (await world.published(answer)).apps[app["id"]].llm_ids == ()


async def test_a_list_in_a_patch_is_replaced(admin: Api) -> None:
    first, second = await admin.llm(), await admin.llm(slug="b")
    app = await admin.app(llm_ids=[first["id"]])
    patched = await admin.data("PATCH", f"/apps/{app['id']}", {"llm_ids": [second["id"]]})
    assert patched["llm_ids"] == [second["id"]]


async def test_pages_of_apps_each_have_their_own_llms(admin: Api) -> None:
    first, second = await admin.llm(), await admin.llm(slug="b")
    for llm_ids in ([first["id"]], [], [second["id"], first["id"]]):
        await admin.app(llm_ids=llm_ids)
    assert [app["llm_ids"] for app in await admin.data("GET", "/apps")] == [[1], [], [1, 2]]


async def test_a_credential_shows_its_secret_once_and_is_stored_as_a_hash(world: World) -> None:
    admin = world.admin
    app = await admin.app()
    path = f"/apps/{app['id']}/credentials"
    answer = await admin("POST", path, {"name": "production", "scopes": ["chat"]})
    made = answer.json()["data"]
    assert made["secret"].startswith(f"wk_{made['key_id']}_")
    listed = {key: made[key] for key in made if key != "secret"}
    assert await admin.data("GET", path) == [listed]
    assert await admin.data("GET", f"{path}/{made['id']}") == listed
    async with world.store.reading() as connection:
        row = (await connection.execute(select(credentials))).one()
    assert made["secret"] not in str(row)
    credential = (await world.published(answer)).credentials[made["key_id"]]
    assert (credential.app_id, credential.scopes) == (app["id"], ("chat",))
    assert token_matches(made["secret"], credential.secret_hash)


@pytest.mark.parametrize("body", [None, {}, {"name": ""}])
async def test_a_credential_needs_nothing(admin: Api, body: Any) -> None:
    app = await admin.app()
    made = await admin.data("POST", f"/apps/{app['id']}/credentials", body)
    assert (made["name"], made["scopes"], made["expires_at"]) == ("", [], None)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("2099-01-31T12:00:00Z", "2099-01-31T12:00:00.000000Z"),
        ("2099-01-31t12:00:00.25z", "2099-01-31T12:00:00.250000Z"),
        ("2099-01-31T12:00:00+02:00", "2099-01-31T10:00:00.000000Z"),
    ],
)
async def test_an_expiry_is_kept_in_utc(world: World, given: str, shown: str) -> None:
    app = await world.admin.app()
    answer = await world.admin("POST", f"/apps/{app['id']}/credentials", {"expires_at": given})
    assert answer.json()["data"]["expires_at"] == shown
    [credential] = (await world.published(answer)).credentials.values()
    assert credential.expires_at_us


@pytest.mark.parametrize(
    "wrong",
    [
        "2020-01-01T00:00:00Z",
        "2099-01-31",
        "2099-01-31T12:00:00",
        "2099-02-30T12:00:00Z",
        "tomorrow",
        "0001-01-01T00:00:00+23:59",
        "",
        4_102_444_800,
    ],
)
async def test_an_expiry_that_is_none_or_past_is_422(admin: Api, wrong: Any) -> None:
    app = await admin.app()
    path = f"/apps/{app['id']}/credentials"
    assert list(await admin.errors("POST", path, {"expires_at": wrong})) == ["expires_at"]


async def test_credentials_belong_to_their_app(admin: Api) -> None:
    first, second = await admin.app(), await admin.app()
    made = await admin.data("POST", f"/apps/{first['id']}/credentials", {})
    await admin.problem(404, "GET", f"/apps/{second['id']}/credentials/{made['id']}")
    await admin.problem(404, "DELETE", f"/apps/{second['id']}/credentials/{made['id']}")
    await admin.problem(404, "GET", "/apps/99/credentials")
    await admin.problem(404, "POST", "/apps/99/credentials", {})
    assert await admin.data("GET", f"/apps/{second['id']}/credentials") == []


async def test_a_revoked_credential_is_gone_from_the_snapshot(world: World) -> None:
    admin = world.admin
    app = await admin.app()
    made = await admin.data("POST", f"/apps/{app['id']}/credentials", {})
    answer = await admin("DELETE", f"/apps/{app['id']}/credentials/{made['id']}")
    assert (await world.published(answer)).credentials == {}


async def test_deleting_an_app_revokes_its_credentials(world: World) -> None:
    admin = world.admin
    app = await admin.app(llm_ids=[(await admin.llm())["id"]])
    await admin.data("POST", f"/apps/{app['id']}/credentials", {})
    answer = await admin("DELETE", f"/apps/{app['id']}")
    snapshot = await world.published(answer)
    assert (dict(snapshot.apps), dict(snapshot.credentials)) == ({}, {})
