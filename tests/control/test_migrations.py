"""The database's tables through the versions."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, MetaData
from tests.control.conftest import upgrade_to

from weir_collectors import tables as collectors_tables
from weir_collectors import (
    tables_accounting,
    tables_dead_letters,  # noqa: F401 - its tables are on the same metadata
    tables_erasing,
)
from weir_collectors.database import create_engine
from weir_control.errors import SchemaError
from weir_control.migrations import require_current, upgrade
from weir_control.store import tables as control_tables


async def test_the_migrations_make_exactly_the_tables_that_the_code_works_with(database_url: str) -> None:
    def difference(connection: Connection) -> list[Any]:
        everything = MetaData()
        rooms = (control_tables, collectors_tables, tables_accounting, tables_erasing)
        for metadata in {room.metadata for room in rooms}:
            for table in metadata.tables.values():
                table.to_metadata(everything)
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, everything))

    engine = create_engine(database_url)
    async with engine.connect() as connection:
        assert await connection.run_sync(difference) == []
    await engine.dispose()


@pytest.mark.parametrize("revision", ["0001", "0002", "0003", "0004", "0005"])
async def test_a_database_of_any_older_version_becomes_what_a_new_one_is(
    tmp_path: Path, database_url: str, revision: str
) -> None:
    old = tmp_path / "old.db"
    await upgrade_to(revision, f"sqlite:///{old}")
    await upgrade(f"sqlite:///{old}")
    await require_current(f"sqlite:///{old}")
    assert sorted(dump(old).splitlines()) == sorted(dump(tmp_path / "weir.db").splitlines())


async def test_a_new_database_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "weir.db"
    await upgrade(f"sqlite:///{path}")
    for file in tmp_path.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


async def test_a_second_upgrade_changes_nothing(database_url: str, tmp_path: Path) -> None:
    before = dump(tmp_path / "weir.db")
    await upgrade(database_url)
    assert dump(tmp_path / "weir.db") == before


async def test_two_upgrades_at_once_make_one_database(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'weir.db'}"
    together = [asyncio.to_thread(lambda: asyncio.run(upgrade(url))) for _ in range(2)]
    await asyncio.gather(*together)
    assert "config_head" in dump(tmp_path / "weir.db")


async def test_a_database_of_a_newer_version_is_refused_and_left_alone(
    database_url: str, tmp_path: Path
) -> None:
    with sqlite3.connect(tmp_path / "weir.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    before = dump(tmp_path / "weir.db")
    with pytest.raises(SchemaError, match="newer"):
        await upgrade(database_url)
    assert dump(tmp_path / "weir.db") == before


async def test_an_upgrade_that_fails_half_way_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "weir.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE collector_failures (id INTEGER)")
    connection.close()
    with pytest.raises(Exception, match="already exists"):
        await upgrade(f"sqlite:///{path}")
    assert "CREATE TABLE" in dump(path)
    assert "config_head" not in dump(path)


def dump(path: Path) -> str:
    connection = sqlite3.connect(path)
    text = "\n".join(connection.iterdump())
    connection.close()
    return text


async def test_the_failures_known_before_become_dead_letters_with_their_events(tmp_path: Path) -> None:
    path = tmp_path / "weir.db"
    await upgrade_to("0002", f"sqlite:///{path}")
    with sqlite3.connect(path) as connection:
        connection.execute(
            "INSERT INTO records_proxy_logs (event_id, request_id, timestamp_us, app_id, value) "
            """VALUES ('e1', 'r1', 5, 7, '{"event_id":"e1","user_id":"ali"}')"""
        )
        connection.executemany(
            "INSERT INTO collector_failures (event_id, collector, kind, tries, error, failed_at_us) "
            "VALUES (?, 'sink', 'proxy-log', 3, 'away', 9)",
            [("e1",), ("handled-by-another",)],
        )
    connection.close()
    await upgrade(f"sqlite:///{path}")
    with sqlite3.connect(path) as connection:
        letters = connection.execute(
            "SELECT event_id, collector, reason, tries, failed_at_us, request_id, app_id, user_id, value, state "
            "FROM dead_letters ORDER BY event_id"
        ).fetchall()
    connection.close()
    value = '{"event_id":"e1","user_id":"ali"}'
    assert letters == [
        ("e1", "sink", "away", 3, 9, "r1", 7, "ali", value, "failed"),
        ("handled-by-another", "sink", "away", 3, 9, None, None, None, None, "failed"),
    ]
