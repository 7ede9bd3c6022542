"""How Weir opens its database. Every role uses this, so that the pragmas stand in one place."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from sqlalchemy import Connection, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from weir_collectors.errors import DatabaseUrlError

_ASYNC_DRIVERS: Final = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}

# busy_timeout comes first: the other pragmas may themselves have to wait for a lock.
# FULL, because a consumer's offset is synced after the transaction: with NORMAL a power cut could keep the
# offset and roll back the rows, and those events would be in neither place.
_SQLITE_PRAGMAS: Final = (
    "busy_timeout = 5000",
    "journal_mode = WAL",
    "synchronous = FULL",
    "foreign_keys = ON",
    "journal_size_limit = 67108864",
)
_READ_ONLY: Final = "weir_read_only"


def create_engine(url: str) -> AsyncEngine:
    """Return an engine for a SQLite or Postgres URL; the driver may be left out. Connects to nothing yet.

    On SQLite a transaction takes the write lock when it begins (waiting up to 5 seconds), because one that
    read first and wrote later would fail at once whenever another process had written in between. Use
    ``reading`` for transactions that only read: they never wait for a writer.

    Raises:
        DatabaseUrlError: The URL cannot be parsed or names another kind of database.
    """
    parsed = _with_async_driver(url)
    # An error's text goes to logs and status pages; parameters would carry request bodies there.
    engine = create_async_engine(parsed, hide_parameters=True)
    if parsed.get_backend_name() == "sqlite":
        event.listen(engine.sync_engine, "connect", _set_pragmas)
        event.listen(engine.sync_engine, "begin", _begin)
    return engine


@asynccontextmanager
async def reading(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection in a transaction that only reads, from one consistent state of the database."""
    async with engine.execution_options(**{_READ_ONLY: True}).connect() as connection:
        yield connection


def reason_of(error: Exception) -> str:
    """What the database itself said, without SQLAlchemy's statement and advice."""
    return str(error.orig if isinstance(error, DBAPIError) else error)


def _with_async_driver(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise DatabaseUrlError(
            "the database URL cannot be parsed; write sqlite:////absolute/path/weir.db or postgresql://..."
        ) from error
    driver = _ASYNC_DRIVERS.get(parsed.get_backend_name())
    if driver is None:
        raise DatabaseUrlError(
            f"{parsed.get_backend_name()} is not a database Weir can use; give a sqlite or postgresql URL"
        )
    return parsed.set(drivername=driver)


def _set_pragmas(connection: Any, _record: object) -> None:
    # Without this the driver would begin transactions by itself, and only at the first write.
    connection.isolation_level = None
    cursor = connection.cursor()
    try:
        for pragma in _SQLITE_PRAGMAS:
            cursor.execute(f"PRAGMA {pragma}")
    finally:
        cursor.close()


def _begin(connection: Connection) -> None:
    read_only = connection.get_execution_options().get(_READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")
