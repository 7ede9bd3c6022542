"""Every value in the database that is sealed with an encryption key, and what each is sealed for."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from sqlalchemy import Column, Table, and_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from weir_control.store.sealing import api_key_context, config_context, override_context
from weir_control.store.tables import attachments, llms, plugins
from weir_core.secrets import KeyRing


class SealedValue(msgspec.Struct, frozen=True):
    """One sealed column of one row. ``name`` is what people call it."""

    name: str
    table: str
    column: str
    key: dict[str, int]
    context: bytes
    sealed: bytes

    @property
    def is_plugin_config(self) -> bool:
        """Whether it is a plugin's configuration, an attachment's own included."""
        return self.table != llms.name


_TABLES: Final[dict[str, Table]] = {table.name: table for table in (llms, plugins, attachments)}


async def sealed_values(connection: AsyncConnection) -> list[SealedValue]:
    """All of them, in a settled order."""
    found = []
    for row in await _rows(connection, llms, "api_key_sealed", "id"):
        name, context = f"llm {row['id']} api_key", api_key_context(row["id"])
        found.append(_value(name, llms.c.api_key_sealed, {"id": row["id"]}, context, row))
    for row in await _rows(connection, plugins, "config_sealed", "id"):
        name, context = f"plugin {row['id']} config", config_context(row["id"])
        found.append(_value(name, plugins.c.config_sealed, {"id": row["id"]}, context, row))
    for row in await _rows(connection, attachments, "config_override_sealed", "llm_id", "plugin_id"):
        key = {"llm_id": row["llm_id"], "plugin_id": row["plugin_id"]}
        name = f"llm {row['llm_id']} plugin {row['plugin_id']} config_override"
        context = override_context(row["llm_id"], row["plugin_id"])
        found.append(_value(name, attachments.c.config_override_sealed, key, context, row))
    return found


async def reseal(connection: AsyncConnection, keyring: KeyRing, value: SealedValue) -> bool:
    """Seal one value with the newest key, unless somebody has written it meanwhile.

    Returns:
        Whether it was this call that did it.

    Raises:
        SecretError: No key at hand opens it.
    """
    table = _TABLES[value.table]
    again = keyring.seal(keyring.open(value.sealed, value.context), value.context)
    same_row = and_(*(table.c[name] == number for name, number in value.key.items()))
    column = table.c[value.column]
    changed = await connection.execute(
        update(table).where(same_row, column == value.sealed).values({column: again})
    )
    return changed.rowcount == 1


async def _rows(connection: AsyncConnection, table: Table, column: str, *keys: str) -> list[dict[str, Any]]:
    wanted = [table.c[name] for name in (*keys, column)]
    query = select(*wanted).where(table.c[column].is_not(None)).order_by(*wanted[:-1])
    return [dict(row) for row in (await connection.execute(query)).mappings()]


def _value(
    name: str, column: Column[Any], key: dict[str, int], context: bytes, row: dict[str, Any]
) -> SealedValue:
    return SealedValue(name, column.table.name, column.name, key, context, row[column.name])
