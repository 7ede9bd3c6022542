"""A plugin's way into the store: tried out first, outside any transaction, then written in one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import RowMapping

from weir_control.errors import ConflictError, invalid
from weir_control.plugins.authority import check_change, check_config
from weir_control.plugins.checksums import check_checksum
from weir_control.plugins.models import PluginInput
from weir_control.plugins.opened import OpenedPlugin
from weir_control.plugins.probing import Finding, Probing, refuse_failed
from weir_control.plugins.redaction import secret_paths
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
        _check_runtime(body)
        async with self._store.reading() as connection:
            # Before the trial start, which takes seconds; and again in the transaction, where it counts.
            slug = await choose_slug(connection, caller, PLUGIN, body.name, body.slug)
        await check_checksum(body.command, body.checksum)
        finding = await self._probing.try_out(_candidate(body, 0, slug))
        marked = secret_paths(body.config, finding.schema or {})
        check_config(caller, {}, body.config, has_secrets=bool(marked), field="config")
        async with self._store.changing(caller.actor) as change:
            slug = await choose_slug(change.connection, caller, PLUGIN, body.name, body.slug)
            values = _values(body) | finding.columns(change.now_us)
            values |= {"slug": slug, "generation": 1, "kept_secrets": marked}
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
        _check_runtime(body)
        before = self._opened(current)
        body = before.with_secrets_for(caller, body)
        check_change(caller, before.document, body.model_dump(), holds_secrets=before.holds_secrets)
        async with self._store.reading() as connection:
            slug = await choose_slug(connection, caller, PLUGIN, body.name, body.slug, current)
        values = _values(body) | {"slug": slug}
        finding = None
        if before.must_start_anew_as(body):
            await check_checksum(body.command, body.checksum)
            finding = await self._probing.try_out(_candidate(body, current["id"], slug), before.secrets)
            refuse_failed(finding)
            marked = secret_paths(body.config, finding.schema or {})
            check_config(caller, before.config, body.config, has_secrets=bool(marked), field="config")
            values["kept_secrets"] = before.kept_by(body, finding.schema)
        return await self._write(caller, current, values, finding, body.config)

    async def reload(self, caller: Principal, current: RowMapping) -> Written:
        """Start the plugin anew everywhere, if it can start.

        Raises:
            PluginCannotStartError: It cannot; the instances that run go on.
            ConflictError: Somebody else changed the plugin meanwhile.
            SecretError: No key at hand opens its configuration.
        """
        before = OpenedPlugin(current, self.document(current))
        body = PluginInput.model_validate(before.document)
        finding = await self._probing.try_out(
            _candidate(body, current["id"], current["slug"]), before.secrets
        )
        refuse_failed(finding)
        kept = before.kept_by(body, finding.schema)
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
            SecretError: No key at hand opens the plugin's own configuration.
        """
        opened = OpenedPlugin(plugin, self.document(plugin))
        body = PluginInput.model_validate(opened.document | {"config": opened.config | override})
        candidate = _candidate(body, plugin["id"], plugin["slug"])
        refuse_failed(await self._probing.try_out(candidate, opened.secrets, field), field)

    def _opened(self, current: RowMapping) -> OpenedPlugin:
        try:
            return OpenedPlugin(current, self.document(current))
        except SecretError:
            return OpenedPlugin(current, None)

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


def _values(body: PluginInput) -> dict[str, Any]:
    values = body.model_dump(include=set(COLUMNS))
    return values | {"hook_types": body.named_hook_types(), "runtime": body.where()}


def _check_runtime(body: PluginInput) -> None:
    others = [hook for hook in body.named_hook_types() or () if hook != "studio"]
    if body.where() == "studio" and others:
        raise invalid(
            "hook_types",
            f"a plugin of the runtime studio has the hook type studio alone, not {others[0]}; "
            "with the runtime gateway it can have both",
        )


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
