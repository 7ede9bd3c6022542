"""How Weir connects to Postgres."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from sqlalchemy import Connection, event
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from weir_collectors.errors import DatabaseUrlError

# A process of any role works on a few things at a time; the sum over all processes must stay well below
# the server's own limit, 100 unless set.
_POOL_SIZE: Final = 4
_POOL_OVERFLOW: Final = 6
_POOL_WAIT_S: Final = 10.0
_CONNECT_WITHIN_S: Final = 10.0
_STATEMENT_WITHIN_S: Final = 60.0

# A process that was stopped in the middle of a transaction, or whose machine is gone, must not hold its locks
# for longer than the others can wait.
_SESSION: Final = {
    "application_name": "weir",
    "timezone": "UTC",
    "idle_in_transaction_session_timeout": "30s",
    "lock_timeout": "30s",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}


def create_postgres_engine(url: URL, *, patient: bool = False) -> AsyncEngine:
    """An engine whose pool belongs to one process. Connects to nothing yet.

    Args:
        url: What libpq takes goes into its query: ``sslmode``, ``sslrootcert``, ``sslcert``, ``sslkey``,
            ``passfile``, ``target_session_attrs``; other names are settings of the session.
        patient: Wait for ever for the end of a statement, rather than a minute.

    Raises:
        DatabaseUrlError: The driver is not installed.
    """
    connect = connector(url, within_s=None if patient else _STATEMENT_WITHIN_S)
    engine = create_async_engine(
        # The address stays out of the engine, so that no error and no representation can show its password.
        "postgresql+asyncpg://",
        async_creator=connect,
        hide_parameters=True,
        pool_size=_POOL_SIZE,
        max_overflow=_POOL_OVERFLOW,
        pool_timeout=_POOL_WAIT_S,
        # After a restart of the server, the first to ask gets a new connection instead of an error.
        pool_pre_ping=True,
    )
    event.listen(engine.sync_engine, "before_cursor_execute", _replace_nul, retval=True)
    return engine


def _replace_nul(
    _connection: Connection, _cursor: object, statement: str, parameters: Any, *_: object
) -> tuple[str, Any]:
    """Postgres keeps every character but this one, which a client may put into any name of an event.

    An event that was refused for it would be tried for ever, and hold up all behind it.
    """
    if isinstance(parameters, list):
        return statement, [_without_nul(row) for row in parameters]
    return statement, _without_nul(parameters)


def _without_nul(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(_value_without_nul(value) for value in row)


def _value_without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    # An array is a column of many rows.
    if isinstance(value, list):
        return [item.replace("\0", "\ufffd") if isinstance(item, str) else item for item in value]
    return value


def connector(url: URL, *, within_s: float | None) -> Callable[[], Awaitable[Any]]:
    """What opens a connection to this address, each time that it is called.

    Args:
        within_s: Seconds until a statement that has no answer fails; None waits for ever.
    """
    try:
        import asyncpg  # type: ignore[import-untyped] # noqa: PLC0415 - an extra; it ships no types
    except ImportError as error:
        raise DatabaseUrlError("Postgres needs a driver: pip install 'weir-gateway[postgres]'") from error
    address = url.set(drivername="postgresql").render_as_string(hide_password=False)
    # asyncpg lets its arguments win over the address, whose own settings are the admin's.
    defaults = {name: value for name, value in _SESSION.items() if name not in url.query}

    async def connect() -> Any:
        return await asyncpg.connect(
            address,
            timeout=_CONNECT_WITHIN_S,
            command_timeout=within_s,
            server_settings=defaults,
        )

    return connect
