"""A list of attachments before it is stored, above all the configuration of its own that each may have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from weir_control.errors import ConflictError, FieldError, ForbiddenError, InvalidFieldsError, invalid
from weir_control.plugins.attachment_models import AttachmentInput
from weir_control.plugins.authority import check_config
from weir_control.plugins.changes import PluginChanges
from weir_control.plugins.hidden import kept_secrets
from weir_control.plugins.hook_types import effective_hook_types
from weir_control.plugins.masks import left_masked, restored
from weir_control.plugins.probing import refuse_masks
from weir_control.plugins.redaction import Path
from weir_control.principal import Principal
from weir_control.store.attached import Attached
from weir_control.store.kinds import APP, PLUGIN
from weir_control.store.namespaces import visible
from weir_control.store.rows import missing_ids
from weir_control.store.tables import llms, plugins


@dataclass(frozen=True, slots=True)
class Override:
    """An override to be stored, and which of its values are secret."""

    config: dict[str, Any]
    secrets: Sequence[Path]


async def find_plugins(
    connection: AsyncConnection,
    caller: Principal,
    wanted: Sequence[AttachmentInput],
    before: Sequence[Attached],
) -> Mapping[int, RowMapping]:
    """The plugins that may stand in the list: those the caller sees, and those that stand in it already."""
    had = [item.row["plugin_id"] for item in before]
    statement = select(plugins).where(plugins.c.id.in_([item.plugin_id for item in wanted]))
    for condition in visible(caller, PLUGIN):
        statement = statement.where(or_(condition, plugins.c.id.in_(had)))
    return {row["id"]: row for row in (await connection.execute(statement)).mappings()}


def check_plugins(wanted: Sequence[AttachmentInput], found: Mapping[int, RowMapping], field: str) -> None:
    """Check that each plugin is there, once, and works at some stage.

    Args:
        field: How the path of one of the plugin ids is written, with ``{}`` for its position.

    Raises:
        InvalidFieldsError: With each that is wrong.
    """
    ids = [item.plugin_id for item in wanted]
    errors = []
    for position, plugin_id in enumerate(ids):
        problem = _problem(plugin_id, found.get(plugin_id), repeated=plugin_id in ids[:position])
        if problem is not None:
            errors.append(FieldError(field.format(position), "invalid", problem))
    if errors:
        raise InvalidFieldsError(errors)


async def check_default_apps(
    connection: AsyncConnection,
    caller: Principal,
    wanted: Sequence[AttachmentInput],
    before: Sequence[Attached],
) -> None:
    """Check that the apps that attachments fall back to are there, for this caller or in this list already.

    Raises:
        InvalidFieldsError: With each that is not.
    """
    named = {item.default_app_id for item in wanted if item.default_app_id is not None}
    new = named.difference(item.row["default_app_id"] for item in before)
    unknown = await missing_ids(connection, APP, new, *visible(caller, APP))
    errors = [
        FieldError(
            f"plugins[{position}].default_app_id", "unknown_app", f"there is no app {item.default_app_id}"
        )
        for position, item in enumerate(wanted)
        if item.default_app_id in unknown
    ]
    if errors:
        raise InvalidFieldsError(errors)


async def checked_overrides(
    changes: PluginChanges,
    caller: Principal,
    wanted: Sequence[AttachmentInput],
    found: Mapping[int, RowMapping],
    before: Sequence[Attached],
) -> list[Override]:
    """The overrides to be stored. Each that is new is tried out, one after the other.

    Raises:
        InvalidFieldsError: One breaks the plugin's schema, or the schema is not known.
        PluginCannotStartError: The plugin cannot start with one.
        ForbiddenError: The caller may not touch the secrets that are in play.
    """
    had = {item.row["plugin_id"]: item for item in before}
    checked = []
    for position, item in enumerate(wanted):
        field = f"plugins[{position}].config_override"
        plugin = found[item.plugin_id]
        override = _wanted_override(caller, plugin, item, had.get(item.plugin_id), field)
        if override.config != _config_of(had.get(item.plugin_id)) and override.config:
            await changes.try_override(plugin, override.config, field)
        checked.append(override)
    return checked


async def check_unchanged(
    connection: AsyncConnection, llm: RowMapping, found: Mapping[int, RowMapping]
) -> None:
    """Check that what was read before the trials still holds.

    Raises:
        ConflictError: The LLM or one of the plugins was changed meanwhile.
    """
    for table, rows in ((llms, [llm]), (plugins, found.values())):
        known = {row["id"]: row["revision"] for row in rows}
        statement = select(table.c.id, table.c.revision).where(table.c.id.in_(known))
        if {row.id: row.revision for row in await connection.execute(statement)} != known:
            raise ConflictError(
                f"LLM {llm['id']} or one of its plugins was changed by somebody else meanwhile; read again."
            )


def _wanted_override(
    caller: Principal, plugin: RowMapping, item: AttachmentInput, had: Attached | None, field: str
) -> Override:
    given, stored = item.config_override or {}, _config_of(had)
    if not given:
        return Override({}, ())
    if not plugin["probe_ok"]:
        raise invalid(field, "cannot be checked: the plugin could not start, so its schema is not known")
    seen = [] if had is None else had.hidden(unmarked=caller.sees_unmarked_config)
    config = restored(given, stored, seen)
    refuse_masks(left_masked(config, seen), field)
    if config != stored:
        _check_reach(caller, plugin, field)
    hidden = [] if had is None else had.hidden(unmarked=True)
    secrets = kept_secrets(config, plugin["probe_schema"], stored, hidden)
    holds_secrets = bool(secrets or hidden or plugin["kept_secrets"])
    check_config(caller, stored, config, has_secrets=holds_secrets, field=field)
    return Override(config, secrets)


def _check_reach(caller: Principal, plugin: RowMapping, field: str) -> None:
    """It may stay in the list; but where its secrets go is not for a caller to say who does not see it."""
    if not caller.reaches(plugin["namespace"]):
        raise ForbiddenError(
            f"Plugin {plugin['id']} is of a namespace that this token does not reach; only its attachment "
            "as a whole can be kept or taken away.",
            [FieldError(field, "forbidden", "is for those who see the plugin")],
        )


def _config_of(attached: Attached | None) -> dict[str, Any]:
    return {} if attached is None else attached.override or {}


def _problem(plugin_id: int, plugin: RowMapping | None, *, repeated: bool) -> str | None:
    if plugin is None:
        return f"there is no plugin {plugin_id}"
    if repeated:
        return f"plugin {plugin_id} is named twice"
    if not effective_hook_types(plugin):
        # Attached without a stage it would guard nothing and nobody would notice.
        return (
            f"plugin {plugin_id} could not start and names no hook_types, so nobody knows where it belongs; "
            "set its hook_types or reload it when it can start"
        )
    return None
