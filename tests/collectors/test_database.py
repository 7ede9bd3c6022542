"""How the database is opened."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from weir_collectors.database import create_engine, reading
from weir_collectors.errors import DatabaseUrlError


@pytest.mark.parametrize(
    ("pragma", "value"),
    [
        ("journal_mode", "wal"),
        ("synchronous", 2),
        ("busy_timeout", 5000),
        ("foreign_keys", 1),
        ("journal_size_limit", 67108864),
    ],
)
async def test_every_connection_has_the_pragmas(engine: AsyncEngine, pragma: str, value: object) -> None:
    async with reading(engine) as first, reading(engine) as second:
        for connection in (first, second):
            assert (await connection.execute(text(f"PRAGMA {pragma}"))).scalar_one() == value


async def test_a_transaction_has_the_write_lock_from_its_beginning(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    other = sqlite3.connect(tmp_path / "weir.db", timeout=0)
    async with engine.begin():
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
    other.execute("BEGIN IMMEDIATE")
    other.close()


async def test_reading_neither_waits_for_a_writer_nor_sees_half_of_its_work(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE things (name TEXT)"))
    writer = sqlite3.connect(tmp_path / "weir.db", isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("INSERT INTO things VALUES ('half')")
    async with reading(engine) as connection:
        assert (await connection.execute(text("SELECT count(*) FROM things"))).scalar_one() == 0
    writer.close()


async def test_a_failed_transaction_leaves_nothing(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE things (name TEXT NOT NULL)"))

    async def write_two() -> None:
        async with engine.begin() as connection:
            await connection.execute(text("INSERT INTO things VALUES ('one')"))
            await connection.execute(text("INSERT INTO things VALUES (NULL)"))

    with pytest.raises(IntegrityError):
        await write_two()
    async with reading(engine) as connection:
        assert (await connection.execute(text("SELECT count(*) FROM things"))).scalar_one() == 0


def test_a_driver_may_be_named(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite+aiosqlite:///{tmp_path / 'weir.db'}")
    assert engine.dialect.name == "sqlite"


@pytest.mark.parametrize("url", ["", "nonsense", "mysql://localhost/weir", "oracle://weir:secret@db/x"])
def test_another_database_is_refused_without_showing_its_password(url: str) -> None:
    with pytest.raises(DatabaseUrlError) as caught:
        create_engine(url)
    assert "secret" not in str(caught.value)
