"""What happens when the database does not do as it is told."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, insert
from tests.control.conftest import TESTER, World

from weir_control.errors import ConflictError
from weir_control.store.tables import app_llms


async def test_a_database_locked_by_somebody_else_is_503_with_retry_after(
    world: World, tmp_path: Path
) -> None:
    app = await world.admin.app()
    await world.service.stop()
    other = sqlite3.connect(tmp_path / "weir.db", isolation_level=None)
    await world.store.engine.dispose()
    event.listen(world.store.engine.sync_engine, "connect", _lose_patience)
    other.execute("BEGIN IMMEDIATE")
    answer = await world.admin("PATCH", f"/apps/{app['id']}", {"name": "b"})
    other.execute("ROLLBACK")
    other.close()
    assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
    assert answer.headers["retry-after"] == "1"
    assert (await world.admin.data("GET", f"/apps/{app['id']}"))["name"] == "Support bot"


@pytest.mark.parametrize("path", ["/api/v1/apps", "/ready"])
async def test_a_database_without_its_tables_is_503_without_details(world: World, path: str) -> None:
    await world.published()
    await world.service.stop()
    async with world.store.engine.begin() as connection:
        for table in ("tokens", "config_head"):
            await connection.exec_driver_sql(f"DROP TABLE {table}")
    answer = await world.client.get(path, headers={"authorization": "Bearer x"})
    assert answer.status_code == 503
    assert "tokens" not in answer.text


async def test_a_write_that_another_one_overtook_is_a_conflict(world: World) -> None:
    async def grant_an_llm_that_is_gone() -> None:
        async with world.store.changing(TESTER) as change:
            await change.connection.execute(insert(app_llms).values(app_id=1, llm_id=99))

    await world.admin.app()
    with pytest.raises(ConflictError):
        await grant_an_llm_that_is_gone()


def _lose_patience(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA busy_timeout = 10")
