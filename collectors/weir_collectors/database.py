"""How Weir opens its database. Every role uses this, so that the pragmas stand in one place."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

from sqlalchemy import Connection, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from weir_collectors.errors import DatabaseUnavailableError, DatabaseUrlError
from weir_collectors.postgres import create_postgres_engine

_POSTGRES: Final = ("postgresql", "postgres")

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
# Of Postgres' levels this is the first at which all statements of a transaction see the same state.
_READ_ONLY_POSTGRES: Final[dict[str, Any]] = {
    "isolation_level": "REPEATABLE READ",
    "postgresql_readonly": True,
}


def create_engine(url: str, *, patient: bool = False) -> AsyncEngine:
    """Return an engine for a SQLite or Postgres URL; the driver may be left out. Connects to nothing yet.

    On SQLite a transaction takes the write lock when it begins (waiting up to 5 seconds), because one that
    read first and wrote later would fail at once whenever another process had written in between. Use
    ``reading`` for transactions that only read: they never wait for a writer.

    Args:
        patient: For statements that may take very long: on Postgres they have no deadline then.

    Raises:
        DatabaseUrlError: The URL cannot be parsed or names another kind of database.
    """
    parsed = parse_url(url)
    if parsed.get_backend_name() in _POSTGRES:
        return create_postgres_engine(parsed, patient=patient)
    # An error's text goes to logs and status pages; parameters would carry request bodies there.
    engine = create_async_engine(parsed.set(drivername="sqlite+aiosqlite"), hide_parameters=True)
    event.listen(engine.sync_engine, "connect", _set_pragmas)
    event.listen(engine.sync_engine, "begin", _begin)
    return engine


@asynccontextmanager
async def reading(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection in a transaction that only reads, from one consistent state of the database."""
    options = _READ_ONLY_POSTGRES if engine.dialect.name == "postgresql" else {_READ_ONLY: True}
    async with engine.execution_options(**options).connect() as connection:
        yield connection


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Raise what the database does as an error of ours.

    Args:
        what: What did not happen, and what comes of it: how the message begins.

    Raises:
        DatabaseUnavailableError: The database, or the way to it, failed within.
    """
    try:
        yield
    except (SQLAlchemyError, OSError) as error:
        raise DatabaseUnavailableError(f"{what}: {reason_of(error)}") from error


def reason_of(error: Exception) -> str:
    """What the database itself said: no statement, no advice, and nothing of a row."""
    said = str(error.orig if isinstance(error, DBAPIError) else error)
    # Postgres quotes the row that it refused in its detail.
    return said.partition("\nDETAIL:")[0]


def parse_url(url: str) -> URL:
    """The parts of a database's URL.

    Raises:
        DatabaseUrlError: It cannot be parsed or names another kind of database.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise DatabaseUrlError(
            "the database URL cannot be parsed; write sqlite:////absolute/path/weir.db or "
            "postgresql://user:password@host/database"
        ) from error
    backend = parsed.get_backend_name()
    if backend not in (*_POSTGRES, "sqlite"):
        raise DatabaseUrlError(f"{backend} is not a database Weir can use; give a sqlite or postgresql URL")
    return parsed


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
