"""The management plane's store as the command line opens it, whether or not a gateway is running."""

from __future__ import annotations

import getpass
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from weir_cli.bootstrap import database_url, encryption_keys
from weir_cli.data_dir import DataDir
from weir_cli.errors import NoDatabaseError
from weir_collectors.database import create_engine
from weir_control.principal import Actor
from weir_control.store.store import Store
from weir_control.store.tokens import ADMIN, add_token, ensure_admin_token, find_principal
from weir_core.clock import SystemClock
from weir_core.secrets import KeyRing
from weir_core.settings import Settings

_DEMO_TOKEN_NAME = "demo"  # noqa: S105 - a name, not a secret


def command_line() -> Actor:
    """Whoever runs this command, as the audit log names them."""
    return Actor(kind="command_line", name=_user())


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container may run under a number that has no name.
        return f"uid {os.getuid()}"


@asynccontextmanager
async def open_store(settings: Settings, data_dir: DataDir, keys: str) -> AsyncIterator[Store]:
    """The configured database, which must have been migrated."""
    engine = create_engine(database_url(settings, data_dir))
    try:
        yield Store(engine, KeyRing.from_text(keys), SystemClock())
    finally:
        await engine.dispose()


@asynccontextmanager
async def existing_store(settings: Settings) -> AsyncIterator[Store]:
    """The store of a gateway that was started before; it may be running.

    Raises:
        NoDatabaseError: The data directory has no database.
    """
    data_dir = DataDir(settings.data_dir.absolute())
    if settings.database_url is None and not data_dir.database.exists():
        raise NoDatabaseError(
            f"there is no database in {data_dir.root}; start weir serve first, or name another --data-dir"
        )
    async with open_store(settings, data_dir, encryption_keys(settings, data_dir)) as store:
        yield store


async def admit_admin(store: Store, settings: Settings) -> str | None:
    """See to it that somebody can administer the gateway.

    Returns:
        A new token, to be shown once; None when there is one already.

    Raises:
        SettingsError: ``admin_token`` cannot be sent in a header.
    """
    given = settings.admin_token
    return await ensure_admin_token(store, None if given is None else given.get_secret_value())


async def demo_admin(store: Store, settings: Settings, kept: str | None) -> str:
    """An admin token that the demo may print: the given one, the kept one while it works, or a new one."""
    if settings.admin_token is not None:
        return settings.admin_token.get_secret_value()
    if kept is not None:
        principal = await find_principal(store, kept)
        if principal is not None and principal.role == ADMIN:
            return kept
    async with store.changing(command_line()) as change:
        _, secret = await add_token(change, _DEMO_TOKEN_NAME, ADMIN)
    return secret.reveal()
