"""What must hold between LLMs and the plugins attached to them, whichever of the two is changed."""

from __future__ import annotations

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from weir_control.errors import ConflictError, invalid
from weir_control.store.tables import attachments, llms, plugins


async def check_namespaces(connection: AsyncConnection) -> None:
    """Every attached plugin is seen by every edge that sees its LLM; elsewhere the LLM would only refuse.

    Raises:
        InvalidFieldsError: The change under way breaks that; the message names the pair.
    """
    apart = (
        select(llms.c.id.label("llm_id"), plugins.c.id.label("plugin_id"), plugins.c.namespace)
        .select_from(attachments.join(llms).join(plugins))
        .where(plugins.c.namespace != "", plugins.c.namespace != llms.c.namespace)
        .limit(1)
    )
    pair = (await connection.execute(apart)).one_or_none()
    if pair is not None:
        raise invalid(
            "namespace",
            f"plugin {pair.plugin_id} is of namespace {pair.namespace!r} and attached to LLM {pair.llm_id}, "
            "which is not; give both the same namespace, or the plugin none",
        )


async def refuse_attached_plugin(connection: AsyncConnection, plugin_id: int) -> None:
    """A plugin that is gone guards nothing, so it is detached on purpose first.

    Raises:
        ConflictError: It is attached; the message names the LLMs.
    """
    used_by = await _llms(connection, _attached().where(attachments.c.plugin_id == plugin_id))
    if used_by:
        raise ConflictError(
            f"Plugin {plugin_id} is attached to {used_by}; detach it there first "
            "(PUT /api/v1/llms/{id}/plugins), or set is_active to false."
        )


async def refuse_default_app(connection: AsyncConnection, app_id: int) -> None:
    """Check that no attachment falls back to this app.

    Raises:
        ConflictError: One does; the message names the LLMs.
    """
    used_by = await _llms(connection, _attached().where(attachments.c.default_app_id == app_id))
    if used_by:
        raise ConflictError(
            f"App {app_id} is the default_app_id of a plugin at {used_by}; change that first."
        )


def _attached() -> Select[tuple[int, str]]:
    return select(llms.c.id, llms.c.slug).join(attachments).order_by(llms.c.id)


async def _llms(connection: AsyncConnection, statement: Select[tuple[int, str]]) -> str:
    found = (await connection.execute(statement)).all()
    return ", ".join(f"LLM {row.id} ({row.slug})" for row in found)
