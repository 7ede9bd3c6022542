"""Management tokens, and how the first admin gets one."""

from __future__ import annotations

import pytest
from sqlalchemy import delete
from tests.control.conftest import ADMIN_TOKEN, TESTER, Api, World, refusal

from weir_control.store.tables import tokens
from weir_control.store.tokens import ensure_admin_token
from weir_core.errors import SettingsError
from weir_core.secrets import hash_token


async def test_the_secret_is_shown_once_and_stored_as_a_hash(world: World, admin: Api) -> None:
    made = await admin.data("POST", "/tokens", {"name": "ci", "role": "admin"})
    assert made["secret"].startswith(f"wt_{made['key_id']}_")
    assert "secret" not in await admin.data("GET", f"/tokens/{made['id']}")
    assert made["secret"] not in (await admin("GET", "/tokens")).text
    async with world.store.reading() as connection:
        row = (await connection.execute(tokens.select().where(tokens.c.id == made["id"]))).one()
    assert row.secret_hash == hash_token(made["secret"])
    assert made["secret"] not in str(row)


async def test_the_last_admin_token_stays(world: World, admin: Api) -> None:
    made = await admin.data("POST", "/tokens", {"name": "ci", "role": "admin"})
    async with world.store.changing(TESTER) as change:
        await change.connection.execute(delete(tokens).where(tokens.c.from_settings))
    last = world.as_(made["secret"])
    problem = await last.problem(409, "DELETE", f"/tokens/{made['id']}")
    assert "last admin" in problem["detail"]


async def test_the_token_of_the_settings_is_changed_there(admin: Api) -> None:
    problem = await admin.problem(409, "DELETE", "/tokens/1")
    assert "WEIR_ADMIN_TOKEN" in problem["detail"]


@refusal
async def test_an_unknown_role_is_422(refusing: Api) -> None:
    assert await refusing.errors("POST", "/tokens", {"name": "a", "role": "root"}) == {"role": "invalid"}


async def test_the_first_start_makes_a_token_and_later_ones_do_not(world: World) -> None:
    async with world.store.changing(TESTER) as change:
        await change.connection.execute(delete(tokens))
    secret = await ensure_admin_token(world.store, None)
    assert secret is not None
    assert (await world.as_(secret)("GET", "/tokens")).status_code == 200
    assert await ensure_admin_token(world.store, None) is None


async def test_a_viewer_alone_does_not_keep_a_first_admin_from_being_made(world: World) -> None:
    await world.caller("viewer")
    async with world.store.changing(TESTER) as change:
        await change.connection.execute(delete(tokens).where(tokens.c.role == "admin"))
    assert await ensure_admin_token(world.store, None) is not None


async def test_a_new_text_in_the_settings_takes_the_old_ones_place(world: World) -> None:
    assert await ensure_admin_token(world.store, "another") is None
    assert (await world.admin("GET", "/apps")).status_code == 401
    assert (await world.as_("another")("GET", "/apps")).status_code == 200


async def test_the_same_text_again_changes_nothing(world: World) -> None:
    before = (await world.published()).revision
    assert await ensure_admin_token(world.store, ADMIN_TOKEN) is None
    assert (await world.published()).revision == before


async def test_an_issued_token_may_move_into_the_settings(world: World, admin: Api) -> None:
    made = await admin.data("POST", "/tokens", {"name": "ci", "role": "admin"})
    await ensure_admin_token(world.store, made["secret"])
    assert (await world.admin("GET", "/apps")).status_code == 401
    assert (await world.as_(made["secret"])("GET", "/apps")).status_code == 200


async def test_a_token_in_another_script_works_too(world: World) -> None:
    await ensure_admin_token(world.store, "schlüssel")
    answer = await world.client.get("/api/v1/apps", headers=[(b"authorization", "Bearer schlüssel".encode())])
    assert answer.status_code == 200


@pytest.mark.parametrize("given", ["", "two words", "line\nbreak", "tab\t"])
async def test_what_cannot_be_sent_in_a_header_is_refused(world: World, given: str) -> None:
    with pytest.raises(SettingsError, match="WEIR_ADMIN_TOKEN"):
        await ensure_admin_token(world.store, given)


async def test_a_viewers_secret_is_refused_as_the_admins(world: World, admin: Api) -> None:
    made = await admin.data("POST", "/tokens", {"name": "screen", "role": "viewer"})
    with pytest.raises(SettingsError, match="no admin"):
        await ensure_admin_token(world.store, made["secret"])
