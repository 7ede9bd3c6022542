"""What must hold between objects of several kinds, whichever of them is changed."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from weir_control.errors import ConflictError, FieldError, InvalidFieldsError, invalid
from weir_control.plugins.hidden import hidden_paths
from weir_control.plugins.redaction import secret_paths, values_at
from weir_control.principal import Principal
from weir_control.store.sealing import open_override
from weir_control.store.tables import app_llms, apps, attachments, llms, plugins
from weir_core.blotting import blot_out
from weir_core.errors import SecretError
from weir_core.secrets import KeyRing
from weir_host.schema import config_errors


async def check_llm(connection: AsyncConnection, llm_id: int) -> None:
    """Every edge that sees the LLM sees its plugins and their default apps; and no app beside it calls it.

    Raises:
        InvalidFieldsError: The change under way breaks that; the message names the pair.
    """
    await _check_plugins(connection, llms.c.id == llm_id)
    await _check_default_apps(connection, llms.c.id == llm_id)
    await _check_apps(connection, llms.c.id == llm_id)


async def check_plugin(connection: AsyncConnection, plugin_id: int) -> None:
    """Every edge that sees an LLM sees the plugin that is attached to it; otherwise it would only refuse.

    Raises:
        InvalidFieldsError: The change under way breaks that; the message names the pair.
    """
    await _check_plugins(connection, plugins.c.id == plugin_id)


async def check_app(connection: AsyncConnection, app_id: int) -> None:
    """An app calls LLMs of its own namespace or of none, and is some LLM's default only where it is seen.

    Raises:
        InvalidFieldsError: The change under way breaks that; the message names the pair.
    """
    await _check_apps(connection, apps.c.id == app_id)
    await _check_default_apps(connection, apps.c.id == app_id)


async def check_overrides(
    connection: AsyncConnection, keyring: KeyRing, plugin: RowMapping, config: dict[str, Any]
) -> None:
    """A plugin's configuration fits its schema also under the override of each of its attachments.

    Raises:
        InvalidFieldsError: It does not; the message names the LLM.
    """
    schema = plugin["probe_schema"]
    if schema is None:
        return
    statement = select(attachments).where(attachments.c.plugin_id == plugin["id"])
    errors: list[FieldError] = []
    for row in (await connection.execute(statement)).mappings():
        try:
            override = open_override(keyring, row)
        except SecretError:
            continue
        if override:
            errors += _override_errors(plugin, row, config, override)
    if errors:
        raise InvalidFieldsError(errors)


def _override_errors(
    plugin: RowMapping, attachment: RowMapping, config: dict[str, Any], override: dict[str, Any]
) -> list[FieldError]:
    merged = config | override
    schema = plugin["probe_schema"]
    places = [
        *secret_paths(merged, schema),
        *hidden_paths(plugin, config),
        *map(tuple, attachment["kept_secrets"]),
    ]
    secrets = values_at(merged, places) + values_at(config, places)
    return [
        FieldError(
            f"config.{path}" if path else "config",
            "config_schema",
            f"with the config_override at LLM {attachment['llm_id']}: {blot_out(message, secrets)}",
        )
        for path, message in config_errors(merged, schema)
    ]


async def _check_plugins(connection: AsyncConnection, changed: ColumnElement[bool]) -> None:
    apart = (
        select(llms.c.id.label("llm_id"), plugins.c.id.label("plugin_id"), plugins.c.namespace)
        .select_from(attachments.join(llms).join(plugins))
        .where(changed, plugins.c.namespace != "", plugins.c.namespace != llms.c.namespace)
        .limit(1)
    )
    pair = (await connection.execute(apart)).one_or_none()
    if pair is not None:
        raise invalid(
            "namespace",
            f"plugin {pair.plugin_id} is of namespace {pair.namespace!r} and attached to LLM {pair.llm_id}, "
            "which is not; give both the same namespace, or the plugin none",
        )


async def _check_default_apps(connection: AsyncConnection, changed: ColumnElement[bool]) -> None:
    apart = (
        select(llms.c.id.label("llm_id"), apps.c.id.label("app_id"), apps.c.namespace)
        .select_from(attachments.join(llms).join(apps))
        .where(changed, apps.c.namespace != "", apps.c.namespace != llms.c.namespace)
        .limit(1)
    )
    pair = (await connection.execute(apart)).one_or_none()
    if pair is not None:
        raise invalid(
            "namespace",
            f"app {pair.app_id} is of namespace {pair.namespace!r} and a default_app_id at LLM "
            f"{pair.llm_id}, which is not; give both the same namespace, or the app none",
        )


async def _check_apps(connection: AsyncConnection, changed: ColumnElement[bool]) -> None:
    apart = (
        select(llms.c.id.label("llm_id"), apps.c.id.label("app_id"), llms.c.namespace)
        .select_from(app_llms.join(llms).join(apps))
        .where(changed, llms.c.namespace != "", apps.c.namespace != "")
        .where(llms.c.namespace != apps.c.namespace)
        .limit(1)
    )
    pair = (await connection.execute(apart)).one_or_none()
    if pair is not None:
        raise invalid(
            "namespace",
            f"LLM {pair.llm_id} is of namespace {pair.namespace!r}, and app {pair.app_id}, which may use it, "
            "is of another; give both the same namespace, or one of them none",
        )


async def refuse_attached_plugin(connection: AsyncConnection, caller: Principal, plugin_id: int) -> None:
    """A plugin that is gone guards nothing, so it is detached on purpose first.

    Raises:
        ConflictError: It is attached; the message names the LLMs.
    """
    used_by = await _llms(connection, caller, _attached().where(attachments.c.plugin_id == plugin_id))
    if used_by:
        raise ConflictError(
            f"Plugin {plugin_id} is attached to {used_by}; detach it there first "
            "(PUT /api/v1/llms/{id}/plugins), or set is_active to false."
        )


async def refuse_default_app(connection: AsyncConnection, caller: Principal, app_id: int) -> None:
    """Check that no attachment falls back to this app.

    Raises:
        ConflictError: One does; the message names the LLMs.
    """
    used_by = await _llms(connection, caller, _attached().where(attachments.c.default_app_id == app_id))
    if used_by:
        raise ConflictError(
            f"App {app_id} is the default_app_id of a plugin at {used_by}; change that first."
        )


def _attached() -> Select[tuple[int, str, str]]:
    return select(llms.c.id, llms.c.slug, llms.c.namespace).join(attachments).order_by(llms.c.id)


async def _llms(
    connection: AsyncConnection, caller: Principal, statement: Select[tuple[int, str, str]]
) -> str:
    """The LLMs in words; what the caller does not see has no name."""
    found = (await connection.execute(statement)).all()
    named = [f"LLM {row.id} ({row.slug})" for row in found if caller.reaches(row.namespace)]
    unseen = ["LLMs of other namespaces"] if len(named) < len(found) else []
    return ", ".join([*named, *unseen])
