"""The plugins of an LLM as they are stored, with the configuration of its own that each may have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping, select
from sqlalchemy.ext.asyncio import AsyncConnection

from weir_control.plugins.hidden import hidden_paths, shown_config
from weir_control.plugins.redaction import Path
from weir_control.store.sealing import open_override
from weir_control.store.tables import attachments, plugins
from weir_core.errors import SecretError
from weir_core.secrets import KeyRing


@dataclass(frozen=True, slots=True)
class Attached:
    """A stored attachment: its row, with what is known of the plugin's schema, and its opened override.

    ``override`` is None when no key at hand opens it.
    """

    row: RowMapping
    override: dict[str, Any] | None

    def hidden(self, *, unmarked: bool) -> list[Path]:
        """Which places of the override answers hide; see ``hidden_paths``."""
        return [] if self.override is None else hidden_paths(self.row, self.override, unmarked=unmarked)

    def shown(self, *, unmarked: bool) -> dict[str, Any] | None:
        """The override as an answer may show it."""
        return None if self.override is None else shown_config(self.row, self.override, unmarked=unmarked)


async def read_attached(connection: AsyncConnection, keyring: KeyRing, llm_id: int) -> list[Attached]:
    """The attachments of an LLM, in order."""
    statement = (
        select(attachments, plugins.c.probe_ok, plugins.c.probe_schema)
        .join(plugins)
        .where(attachments.c.llm_id == llm_id)
        .order_by(attachments.c.position)
    )
    rows = (await connection.execute(statement)).mappings()
    return [Attached(row, _opened(keyring, row)) for row in rows]


def _opened(keyring: KeyRing, row: RowMapping) -> dict[str, Any] | None:
    try:
        return open_override(keyring, row)
    except SecretError:
        return None
