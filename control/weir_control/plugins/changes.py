"""A plugin's way into the store: tried out first, outside any transaction, then written in one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from sqlalchemy import RowMapping

from weir_control.errors import ConflictError
from weir_control.plugins.models import PluginInput
from weir_control.plugins.probing import Finding, Probing, refuse_failed
from weir_control.store.attachment_rules import check_namespaces
from weir_control.store.rows import PLUGIN, add, fetch, put
from weir_control.store.sealing import open_config, set_config
from weir_control.store.slugs import choose_slug
from weir_control.store.store import Store
from weir_core.errors import SecretError
from weir_core.objects import CollectorOptions, Plugin

COLUMNS: Final = (
    "name",
    "description",
    "command",
    "checksum",
    "collector",
    "service_scopes",
    "is_active",
    "runtime",
    "required_for_ready",
    "namespace",
)
"""The columns that stand in the input under the same name."""

_DECIDE_THE_START: Final = ("command", "config", "hook_types", "service_scopes")


@dataclass(frozen=True, slots=True)
class Written:
    """A plugin's row after a change, and the revision that holds it."""

    row: RowMapping
    revision: int


class PluginChanges:
    """Creates and changes plugins."""

    def __init__(self, store: Store, probing: Probing) -> None:
        self._store = store
        self._probing = probing

    async def create(self, body: PluginInput) -> Written:
        """Store a new plugin, also one that cannot start: then its state says so.

        Raises:
            InvalidFieldsError: Its configuration or its hook types are wrong by its own account.
            ConflictError: Its slug is taken.
        """
        async with self._store.reading() as connection:
            # Before the trial start, which takes seconds; and again in the transaction, where it counts.
            slug = await choose_slug(connection, PLUGIN, body.name, body.slug)
        finding = await self._probing.try_out(_candidate(body, 0, slug))
        async with self._store.changing() as change:
            slug = await choose_slug(change.connection, PLUGIN, body.name, body.slug)
            values = _values(body) | finding.columns(change.now_us) | {"slug": slug, "generation": 1}
            plugin_id = await add(change, PLUGIN, values)
            await set_config(change, self._store.keyring, plugin_id, body.config)
            row = await fetch(change.connection, PLUGIN, plugin_id)
        return Written(row, change.revision)

    def document(self, row: RowMapping) -> dict[str, Any]:
        """The plugin as an admin would write it; holds its secrets.

        Raises:
            SecretError: No key at hand opens its configuration; only a PUT can replace it.
        """
        config = open_config(self._store.keyring, row["id"], row["config_sealed"])
        named = {name: row[name] for name in COLUMNS}
        return named | {"slug": row["slug"], "hook_types": row["hook_types"], "config": config}

    async def replace(self, current: RowMapping, body: PluginInput) -> Written:
        """Store a change, if the plugin can start with it.

        Raises:
            PluginCannotStartError: It cannot; nothing is stored.
            InvalidFieldsError: The configuration or the hook types are wrong; nothing is stored.
            ConflictError: The slug is taken, or somebody else changed the plugin meanwhile.
        """
        async with self._store.reading() as connection:
            slug = await choose_slug(connection, PLUGIN, body.name, body.slug, current)
        finding = None
        if self._must_start_anew(current, body):
            finding = await self._probing.try_out(_candidate(body, current["id"], slug))
            refuse_failed(finding)
        return await self._write(current, _values(body) | {"slug": slug}, finding, body.config)

    async def reload(self, current: RowMapping) -> Written:
        """Start the plugin anew everywhere, if it can start.

        Raises:
            PluginCannotStartError: It cannot; the instances that run go on.
            ConflictError: Somebody else changed the plugin meanwhile.
        """
        body = PluginInput.model_validate(self.document(current))
        finding = await self._probing.try_out(_candidate(body, current["id"], current["slug"]))
        refuse_failed(finding)
        return await self._write(current, {"generation": current["generation"] + 1}, finding)

    def _must_start_anew(self, current: RowMapping, body: PluginInput) -> bool:
        try:
            before = self.document(current)
        except SecretError:
            return True
        after = body.model_dump() | {"hook_types": body.named_hook_types()}
        switched_on = body.is_active and not current["is_active"]
        return switched_on or _what_starts(before) != _what_starts(after)

    async def _write(
        self,
        current: RowMapping,
        values: dict[str, Any],
        finding: Finding | None,
        config: dict[str, Any] | None = None,
    ) -> Written:
        async with self._store.changing() as change:
            latest = await fetch(change.connection, PLUGIN, current["id"])
            if latest["revision"] != current["revision"]:
                raise ConflictError(
                    f"Plugin {current['id']} was changed by somebody else meanwhile; read it again."
                )
            if finding is not None:
                values = values | finding.columns(change.now_us)
            await put(change, PLUGIN, current["id"], values)
            if config is not None:
                await set_config(change, self._store.keyring, current["id"], config)
            await check_namespaces(change.connection)
            row = await fetch(change.connection, PLUGIN, current["id"])
        return Written(row, change.revision)


def _values(body: PluginInput) -> dict[str, Any]:
    values = body.model_dump(include=set(COLUMNS))
    values["collector"]["observer"] = False
    return values | {"hook_types": body.named_hook_types()}


def _what_starts(document: Mapping[str, Any]) -> bytes:
    # As JSON, because to Python 1, 1.0 and True are one value, and to a schema they are not.
    return msgspec.json.encode([document[name] for name in _DECIDE_THE_START], order="deterministic")


def _candidate(body: PluginInput, plugin_id: int, slug: str) -> Plugin:
    """The plugin as a worker would get it."""
    values = _values(body)
    return Plugin(
        id=plugin_id,
        slug=slug,
        config=body.config,
        hook_types=tuple(values.pop("hook_types") or ()),
        collector=CollectorOptions(**values.pop("collector")),
        service_scopes=tuple(values.pop("service_scopes")),
        **values,
    )
