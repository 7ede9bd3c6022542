"""The management plane over Postgres: what databases do differently, not everything again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from tests.control.conftest import Api, PlayedProber, probing_admin

from weir_collectors.database import create_engine
from weir_control.migrations import upgrade
from weir_core.secrets import KeyRing

pytestmark = pytest.mark.system

PRICE = {"vendor": "openai", "model": "gpt-4o", "input": "1"}


@pytest.fixture
async def admin(tmp_path: Path, postgres: str, keyring: KeyRing) -> AsyncIterator[Api]:
    await upgrade(postgres)
    await upgrade(postgres)
    async with probing_admin(tmp_path, postgres, keyring, PlayedProber()) as api:
        yield api


async def test_every_kind_of_object_is_made_changed_and_logged(admin: Api) -> None:
    await admin.llm(api_key="sk-upstream", namespace="north")
    await admin.plugin(config={"a": 1})
    override = [{"plugin_id": 1, "config_override": {"a": 2}}]
    await admin.data("PUT", "/llms/1/plugins", {"plugins": override})
    await admin.app(llm_ids=[1], namespace="north")
    await admin.data("POST", "/apps/1/credentials", {})
    await admin.data("POST", "/model-prices", PRICE)
    made = await admin.data("POST", "/tokens", {"name": "n", "role": "auditor", "namespaces": ["north"]})
    assert made["namespaces"] == ["north"]
    await admin.data("DELETE", "/apps/1")
    newest = await admin.data("GET", "/audit-log?limit=2")
    assert {(item["resource"], item["action"]) for item in newest} == {
        ("credentials", "delete"),
        ("apps", "delete"),
    }


async def test_a_bound_token_sees_what_is_inside(admin: Api) -> None:
    for namespace in ("north", "south"):
        await admin.llm(slug=namespace, namespace=namespace)
    made = await admin.data("POST", "/tokens", {"name": "n", "role": "admin", "namespaces": ["north"]})
    headers = {"authorization": f"Bearer {made['secret']}"}
    assert [item["id"] for item in await admin.data("GET", "/llms", headers=headers)] == [1]
    for path in ("/records/proxy-logs", "/dead-letters", "/analytics/summary?group_by=app"):
        assert await admin.data("GET", path, headers=headers) == []
    assert len(await admin.data("GET", "/audit-log", headers=headers)) == 1


@pytest.mark.parametrize(
    "statement", ["UPDATE audit_log SET id = 9", "DELETE FROM audit_log", "TRUNCATE audit_log"]
)
async def test_the_database_itself_refuses_to_change_the_audit_log(
    admin: Api, postgres: str, statement: str
) -> None:
    engine = create_engine(postgres)
    with pytest.raises(DBAPIError, match="append-only"):
        async with engine.begin() as connection:
            await connection.execute(text(statement))
    await engine.dispose()
    assert len(await admin.data("GET", "/audit-log")) == 1
