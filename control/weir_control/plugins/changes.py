"""A plugin's way into the store: tried out first, outside any transaction, then written in one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from sqlalchemy import RowMapping

from weir_control.errors import ConflictError
from weir_control.plugins.authority import check_change, check_config
from weir_control.plugins.checksums import check_checksum
from weir_control.plugins.hidden import hidden_paths, kept_secrets
from weir_control.plugins.masks import left_masked, restored
from weir_control.plugins.models import PluginInput
from weir_control.plugins.probing import Finding, Probing, refuse_failed, refuse_masks
from weir_control.plugins.redaction import Path, secret_paths
from weir_control.principal import Principal
from weir_control.store.kinds import PLUGIN
from weir_control.store.namespaces import check_reach
from weir_control.store.relations import check_overrides, check_plugin
from weir_control.store.rows import add, fetch, put
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

_DECIDE_THE_START: Final = ("command", "checksum", "config", "hook_types", "service_scopes")


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

    async def create(self, caller: Principal, body: PluginInput) -> Written:
        """Store a new plugin, also one that cannot start: then its state says so.

        Raises:
            InvalidFieldsError: Its configuration, hook types or checksum are wrong.
            ConflictError: Its slug is taken.
            ForbiddenError: The caller may not put it there, or may not give the secrets in it.
        """
        check_reach(caller, body.namespace)
        async with self._store.reading() as connection:
            # Before the trial start, which takes seconds; and again in the transaction, where it counts.
            slug = await choose_slug(connection, caller, PLUGIN, body.name, body.slug)
        await check_checksum(body.command, body.checksum)
        finding = await self._probing.try_out(_candidate(body, 0, slug))
        secrets = secret_paths(body.config, finding.schema or {})
        check_config(caller, {}, body.config, has_secrets=bool(secrets), field="config")
        async with self._store.changing(caller.actor) as change:
            slug = await choose_slug(change.connection, caller, PLUGIN, body.name, body.slug)
            values = _values(body) | finding.columns(change.now_us)
            values |= {"slug": slug, "generation": 1, "kept_secrets": secrets}
            plugin_id = await add(change, PLUGIN, values)
            await set_config(change.connection, self._store.keyring, plugin_id, body.config)
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

    async def replace(self, caller: Principal, current: RowMapping, body: PluginInput) -> Written:
        """Store a change, if the plugin can start with it.

        Raises:
            PluginCannotStartError: It cannot; nothing is stored.
            InvalidFieldsError: The configuration, hook types or checksum are wrong; nothing is stored.
            ConflictError: The slug is taken, or somebody else changed the plugin meanwhile.
            ForbiddenError: The caller may not move it there, or may not touch its secrets.
        """
        check_reach(caller, body.namespace)
        before = self._before(current)
        body = _with_secrets(caller, current, before, body)
        hidden = _hidden(current, before)
        _check_authority(caller, before, body, holds_secrets=bool(hidden) or before is None)
        async with self._store.reading() as connection:
            slug = await choose_slug(connection, caller, PLUGIN, body.name, body.slug, current)
        values = _values(body) | {"slug": slug}
        finding = None
        if before is None or _starts_differently(before, body):
            await check_checksum(body.command, body.checksum)
            finding = await self._probing.try_out(_candidate(body, current["id"], slug), hidden)
            refuse_failed(finding)
            secrets = secret_paths(body.config, finding.schema or {})
            old_config = {} if before is None else before["config"]
            check_config(caller, old_config, body.config, has_secrets=bool(secrets), field="config")
            values["kept_secrets"] = _kept(current, before, body, finding.schema)
        return await self._write(caller, current, values, finding, body.config)

    async def reload(self, caller: Principal, current: RowMapping) -> Written:
        """Start the plugin anew everywhere, if it can start.

        Raises:
            PluginCannotStartError: It cannot; the instances that run go on.
            ConflictError: Somebody else changed the plugin meanwhile.
        """
        before = self.document(current)
        body = PluginInput.model_validate(before)
        candidate = _candidate(body, current["id"], current["slug"])
        finding = await self._probing.try_out(candidate, _hidden(current, before))
        refuse_failed(finding)
        kept = _kept(current, before, body, finding.schema)
        values = {"generation": current["generation"] + 1, "kept_secrets": kept}
        return await self._write(caller, current, values, finding, body.config)

    async def try_override(self, plugin: RowMapping, override: dict[str, Any], field: str) -> None:
        """Start the plugin once with an attachment's own configuration over its own.

        Args:
            plugin: The whole row.
            field: What the caller calls the override.

        Raises:
            InvalidFieldsError: The two together break the plugin's schema.
            PluginCannotStartError: It cannot start with them.
        """
        body = PluginInput.model_validate(self.document(plugin))
        hidden = _hidden(plugin, {"config": body.config})
        merged = body.model_copy(update={"config": body.config | override})
        candidate = _candidate(merged, plugin["id"], plugin["slug"])
        refuse_failed(await self._probing.try_out(candidate, hidden, field), field)

    def _before(self, current: RowMapping) -> dict[str, Any] | None:
        """The plugin as it is; None when no key at hand opens its configuration."""
        try:
            return self.document(current)
        except SecretError:
            return None

    async def _write(
        self,
        caller: Principal,
        current: RowMapping,
        values: dict[str, Any],
        finding: Finding | None,
        config: dict[str, Any],
    ) -> Written:
        async with self._store.changing(caller.actor) as change:
            latest = await fetch(change.connection, PLUGIN, current["id"])
            if latest["revision"] != current["revision"]:
                raise ConflictError(
                    f"Plugin {current['id']} was changed by somebody else meanwhile; read it again."
                )
            if finding is not None:
                values = values | finding.columns(change.now_us)
            await put(change, PLUGIN, current["id"], values)
            await set_config(change.connection, self._store.keyring, current["id"], config)
            await check_plugin(change.connection, current["id"])
            row = await fetch(change.connection, PLUGIN, current["id"])
            await check_overrides(change.connection, self._store.keyring, row, config)
        return Written(row, change.revision)


def _with_secrets(
    caller: Principal, current: RowMapping, before: dict[str, Any] | None, body: PluginInput
) -> PluginInput:
    """What the caller wrote, with the stored secrets in the place of their masks."""
    if before is None:
        return body
    seen = hidden_paths(current, before["config"], unmarked=caller.sees_unmarked_config)
    config = restored(body.config, before["config"], seen)
    refuse_masks(left_masked(config, seen))
    return body.model_copy(update={"config": config})


def _hidden(current: RowMapping, before: Mapping[str, Any] | None) -> list[Path]:
    return [] if before is None else hidden_paths(current, before["config"], unmarked=True)


def _kept(
    current: RowMapping, before: dict[str, Any] | None, body: PluginInput, schema: dict[str, Any] | None
) -> list[Path]:
    if before is None:
        return kept_secrets(body.config, schema, {}, [])
    hidden = _hidden(current, before)
    if not current["probe_ok"] and body.command == current["command"]:
        # Nothing was known to be harmless; now the plugin itself says what is.
        hidden = list(map(tuple, current["kept_secrets"]))
    return kept_secrets(body.config, schema, before["config"], hidden)


def _check_authority(
    caller: Principal, before: dict[str, Any] | None, body: PluginInput, *, holds_secrets: bool
) -> None:
    unreadable = {"command": None, "checksum": None, "config": None}
    check_change(caller, before or unreadable, body.model_dump(), holds_secrets=holds_secrets)


def _starts_differently(before: dict[str, Any], body: PluginInput) -> bool:
    after = body.model_dump() | {"hook_types": body.named_hook_types()}
    switched_on = body.is_active and not before["is_active"]
    return switched_on or _what_starts(before) != _what_starts(after)


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
