"""The database's tables through the versions; ``upgrade`` brings a database to this one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection
from sqlalchemy.engine import make_url

from weir_collectors.database import create_engine
from weir_control.errors import SchemaError

_PRIVATE: Final = 0o600


async def upgrade(url: str) -> None:
    """Create or migrate the tables of control and of the collectors; do nothing where they are current.

    A SQLite file that is not there is made readable by its owner only. Two processes may call this at the
    same time: the second waits for the first. Blocks the event loop while tables are changed.

    Raises:
        SchemaError: The database was made by a newer version.
        DatabaseUrlError: The URL names no database Weir can use.
        sqlalchemy.exc.OperationalError: The database cannot be opened or written.
    """
    engine = create_engine(url)
    _make_private(url)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(_upgrade)
    except CommandError as error:
        raise SchemaError(
            f"the database is not one this version of Weir knows ({error}); it was probably used by a newer "
            "one: install that, or restore a backup"
        ) from error
    finally:
        await engine.dispose()


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _make_private(url: str) -> None:
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite" and parsed.database and parsed.database != ":memory:":
        os.close(os.open(parsed.database, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _PRIVATE))
