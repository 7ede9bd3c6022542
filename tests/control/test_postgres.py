"""The management plane over Postgres: what databases do differently, not everything again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, MetaData, text
from sqlalchemy.exc import DBAPIError
from tests.control.conftest import Api, PlayedProber, probing_admin, upgrade_to

from weir_collectors import tables as collectors_tables
from weir_collectors import (
    tables_accounting,  # noqa: F401 - its tables are on the same metadata
    tables_dead_letters,  # noqa: F401 - likewise
    tables_erasing,  # noqa: F401 - likewise
)
from weir_collectors.database import create_engine
from weir_control.errors import SchemaError, StoreUnavailableError
from weir_control.migrations import require_current, upgrade
from weir_control.store import tables as control_tables
from weir_control.store.store import Store
from weir_control.store.tokens import ensure_admin_token
from weir_core.clock import SystemClock
from weir_core.secrets import KeyRing

pytestmark = pytest.mark.system

REVISIONS = ["base", "0001", "0002", "0003", "0004", "0005"]

RECORD = (
    "INSERT INTO records_proxy_logs (event_id, request_id, timestamp_us, value) VALUES ('e', 'r', 5, '{}')"
)
PRICE = {"vendor": "openai", "model": "gpt-4o", "input": "1"}


@pytest.fixture
async def admin(tmp_path: Path, migrated_postgres: str, keyring: KeyRing) -> AsyncIterator[Api]:
    async with probing_admin(tmp_path, migrated_postgres, keyring, PlayedProber()) as api:
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
    admin: Api, migrated_postgres: str, statement: str
) -> None:
    engine = create_engine(migrated_postgres)
    with pytest.raises(DBAPIError, match="append-only"):
        async with engine.begin() as connection:
            await connection.execute(text(statement))
    await engine.dispose()
    assert len(await admin.data("GET", "/audit-log")) == 1


@pytest.mark.parametrize("revision", REVISIONS)
async def test_a_database_of_any_older_version_is_brought_up_to_date_with_its_rows(
    postgres: str, revision: str
) -> None:
    await upgrade_to(revision, postgres)
    engine = create_engine(postgres)
    has_records = revision > "0001" and revision != "base"
    if has_records:
        async with engine.begin() as connection:
            await connection.execute(text(RECORD))
    await upgrade(postgres)
    await require_current(postgres)
    async with engine.begin() as connection:
        again = await connection.execute(text(f"{RECORD} ON CONFLICT DO NOTHING RETURNING id"))
        assert again.scalars().all() == ([] if has_records else [1])
        assert await connection.run_sync(differences) == []
    await engine.dispose()


@pytest.mark.parametrize("given", [None, "a-token-of-the-settings"])
async def test_processes_that_start_at_once_let_one_admin_in(
    migrated_postgres: str, keyring: KeyRing, given: str | None
) -> None:
    store = Store(create_engine(migrated_postgres), keyring, SystemClock())
    issued = await asyncio.gather(*(ensure_admin_token(store, given) for _ in range(4)))
    assert len([secret for secret in issued if secret is not None]) == (given is None)
    async with store.reading() as connection:
        assert len((await connection.execute(text("SELECT id FROM tokens"))).all()) == 1
    await store.engine.dispose()


async def test_upgrades_at_once_make_one_database(postgres: str) -> None:
    await asyncio.gather(*(asyncio.to_thread(lambda: asyncio.run(upgrade(postgres))) for _ in range(3)))
    await require_current(postgres)


async def test_a_database_that_is_not_upgraded_is_refused_with_what_to_do(postgres: str) -> None:
    with pytest.raises(SchemaError, match=r"no tables of Weir yet.*weir db upgrade"):
        await require_current(postgres)
    await upgrade_to("0005", postgres)
    with pytest.raises(SchemaError, match=r"revision 0005.*weir db upgrade"):
        await require_current(postgres)


async def test_an_address_where_nobody_listens_is_an_error_without_its_password() -> None:
    for attempt in (upgrade, require_current):
        with pytest.raises(StoreUnavailableError) as caught:
            await attempt("postgresql://weir:hunter2@127.0.0.1:1/weir")
        assert "hunter2" not in str(caught.value)


def differences(connection: Connection) -> list[Any]:
    """Between the migrated tables and those the code works with, but for what partitions need."""

    def compared(item: Any, name: str | None, kind: str, *_: object) -> bool:
        is_record_key = kind == "unique_constraint" and item.table.name.startswith("records_")
        return not (is_record_key or (kind == "table" and str(name).endswith("_other")))

    everything = MetaData()
    for metadata in (control_tables.metadata, collectors_tables.metadata):
        for table in metadata.tables.values():
            table.to_metadata(everything)
    options = {"compare_type": True, "include_object": compared}
    return list(compare_metadata(MigrationContext.configure(connection, opts=options), everything))
