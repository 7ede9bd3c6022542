"""Management tokens: looked up by their hash, and the one that lets the first admin in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import RowMapping, select
from sqlalchemy.ext.asyncio import AsyncConnection

from weir_control.errors import ConflictError, invalid
from weir_control.principal import Actor, Principal, Role
from weir_control.store.kinds import TOKEN
from weir_control.store.rows import add, fetch, remove
from weir_control.store.store import Change, Store
from weir_control.store.tables import tokens
from weir_core.errors import SettingsError
from weir_core.secrets import Secret, hash_token, issue_token

ADMIN: Final[Role] = "admin"
EDGE: Final[Role] = "edge"

_START: Final = Actor(kind="start", name="start of the gateway")


async def find_principal(store: Store, secret: str) -> Principal | None:
    """Whose token this is; None when it is nobody's.

    The lookup is by SHA-256, so neither its time nor its outcome tells anything about other tokens.
    """
    statement = select(tokens).where(tokens.c.secret_hash == hash_token(secret))
    async with store.reading() as connection:
        row = (await connection.execute(statement)).one_or_none()
    if row is None:
        return None
    namespaces = None if row.namespaces is None else frozenset(row.namespaces)
    return Principal(row.id, row.name, row.role, namespaces)


async def add_token(
    change: Change, name: str, role: Role, namespaces: Sequence[str] = ()
) -> tuple[RowMapping, Secret]:
    """Make a token; its secret exists only in what this returns.

    Args:
        namespaces: What it is bound to; nothing means that it is bound to none.

    Raises:
        InvalidFieldsError: A token of role ``edge`` is bound to none.
    """
    if role == EDGE and not namespaces:
        raise invalid(
            "namespaces",
            "a token of role edge speaks for the proxies of its namespaces; name them, the default one by an "
            "empty text",
            "required",
        )
    issued = issue_token("wt")
    values = _values(name, role, issued.key_id, issued.secret_hash)
    token_id = await add(change, TOKEN, values | {"namespaces": sorted(namespaces) or None})
    return await fetch(change.connection, TOKEN, token_id), issued.secret


async def remove_token(change: Change, token_id: int) -> None:
    """Revoke a token.

    Raises:
        NotFoundError: There is none.
        ConflictError: It is the last admin token, or the one in the settings.
    """
    row = await fetch(change.connection, TOKEN, token_id)
    if row["from_settings"]:
        raise ConflictError(
            "This token comes from the setting admin_token (WEIR_ADMIN_TOKEN) and would be back at the next "
            "start; change it there."
        )
    if row["role"] == ADMIN and await _admins(change.connection) == [token_id]:
        raise ConflictError("This is the last admin token; create another before you delete it.")
    await remove(change, TOKEN, token_id)


async def ensure_admin_token(store: Store, given: str | None) -> str | None:
    """See to it that somebody can administer this installation. To be called at every start.

    Args:
        store: A migrated store.
        given: The setting ``admin_token``; any text without spaces. The token it stood for before, if it was
            another, stops working.

    Returns:
        A new secret, to be shown once, when nothing was given and there is no admin token yet; else None.

    Raises:
        SettingsError: What was given cannot be sent in a header.
    """
    if given is not None:
        await _take_from_settings(store, given)
        return None
    async with store.reading() as connection:
        if await _admins(connection):
            return None
    async with store.changing(_START) as change:
        # Another control process may have been started at the same moment.
        if await _admins(change.connection):
            return None
        _, secret = await add_token(change, "first admin", ADMIN)
    return secret.reveal()


async def _take_from_settings(store: Store, given: str) -> None:
    if not given or any(char.isspace() or not char.isprintable() for char in given):
        raise SettingsError("WEIR_ADMIN_TOKEN is empty or has spaces or control characters; use a plain word")
    async with store.reading() as connection:
        same, previous = await _known(connection, given)
    if same is not None and same["role"] != ADMIN:
        raise SettingsError(f"WEIR_ADMIN_TOKEN is the secret of token {same['id']}, which is no admin's")
    if same is not None and previous in (None, same):
        return
    async with store.changing(_START) as change:
        # As above: it may have been taken since.
        same, previous = await _known(change.connection, given)
        if previous is not None and previous != same:
            await remove(change, TOKEN, previous["id"])
        if same is None:
            await add(
                change, TOKEN, _values("admin_token", ADMIN, None, hash_token(given), from_settings=True)
            )


async def _known(connection: AsyncConnection, given: str) -> tuple[RowMapping | None, RowMapping | None]:
    """The token with this secret, and the one that the settings stood for before."""
    known = (await connection.execute(select(tokens))).mappings().all()
    return (
        next((row for row in known if row["secret_hash"] == hash_token(given)), None),
        next((row for row in known if row["from_settings"]), None),
    )


async def _admins(connection: AsyncConnection) -> list[int]:
    return list((await connection.execute(select(tokens.c.id).where(tokens.c.role == ADMIN))).scalars())


def _values(
    name: str, role: str, key_id: str | None, secret_hash: bytes, *, from_settings: bool = False
) -> dict[str, object]:
    return {
        "name": name,
        "role": role,
        "key_id": key_id,
        "secret_hash": secret_hash,
        "from_settings": from_settings,
    }
