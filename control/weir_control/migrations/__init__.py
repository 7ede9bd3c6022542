"""The database's tables through the versions; ``upgrade`` brings a database to this one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from weir_collectors.database import create_engine, reading, reason_of
from weir_control.errors import SchemaError, StoreUnavailableError

_PRIVATE: Final = 0o600
_LOCK: Final = 0x57454952_55504752
# Longer than any transaction of a gateway that runs meanwhile.
_TABLES_WITHIN: Final = "60s"


async def upgrade(url: str) -> None:
    """Create or migrate the tables of control and of the collectors; do nothing where they are current.

    All of it is one transaction. A SQLite file that is not there is made readable by its owner only. Two
    processes may call this at the same time: the second waits for the first. Blocks the event loop while
    tables are changed.

    Raises:
        SchemaError: The database was made by a newer version.
        DatabaseUrlError: The URL names no database Weir can use.
        StoreUnavailableError: The database cannot be reached, opened or written.
    """
    engine = create_engine(url, patient=True)
    _make_private(url)
    try:
        async with engine.begin() as connection:
            await _take_turns(connection)
            await connection.run_sync(_upgrade)
    except CommandError as error:
        raise SchemaError(
            f"the database is not one this version of Weir knows ({error}); it was probably used by a newer "
            "one: install that, or restore a backup"
        ) from error
    except (DBAPIError, OSError) as error:
        raise StoreUnavailableError(f"the database could not be upgraded: {reason_of(error)}") from error
    finally:
        await engine.dispose()


async def require_current(url: str) -> None:
    """See to it that a database has this version's tables, without changing it.

    Raises:
        SchemaError: It has none, or those of another version; the message says what to do.
        DatabaseUrlError: The URL names no database Weir can use.
        StoreUnavailableError: The database cannot be reached.
    """
    engine = create_engine(url)
    try:
        async with reading(engine) as connection:
            present = await connection.run_sync(_present_revision)
    except (DBAPIError, OSError) as error:
        raise StoreUnavailableError(f"the database cannot be reached: {reason_of(error)}") from error
    finally:
        await engine.dispose()
    wanted = ScriptDirectory.from_config(_config()).get_current_head()
    if present != wanted:
        has = "no tables of Weir yet" if present is None else f"the tables of revision {present}"
        raise SchemaError(
            f"the database has {has}, and this version needs those of revision {wanted}; run weir db upgrade "
            "with the same settings (or, should the database's be the higher one, a newer Weir)"
        )


async def _take_turns(connection: AsyncConnection) -> None:
    if connection.dialect.name == "postgresql":
        await connection.execute(text("SET LOCAL lock_timeout = 0"))
        await connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
        await connection.execute(text(f"SET LOCAL lock_timeout = '{_TABLES_WITHIN}'"))


def _upgrade(connection: Connection) -> None:
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _present_revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _make_private(url: str) -> None:
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite" and parsed.database and parsed.database != ":memory:":
        os.close(os.open(parsed.database, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _PRIVATE))
