"""``/llms/{id}/plugins``: which plugins work on an LLM's calls, in which order, on which conditions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Response
from sqlalchemy import delete, insert

from weir_control.api.envelopes import MAX_LIMIT, Page, PageParameters, PageQuery, slice_of
from weir_control.api.fields import PathId
from weir_control.deps import Caller, Control, stamp
from weir_control.errors import invalid
from weir_control.plugins.attaching import (
    Override,
    check_default_apps,
    check_plugins,
    check_unchanged,
    checked_overrides,
    find_plugins,
)
from weir_control.plugins.attachment_models import Attachment, AttachmentInput, AttachmentsInput
from weir_control.principal import Principal
from weir_control.store.attached import Attached, read_attached
from weir_control.store.kinds import LLM
from weir_control.store.namespaces import visible
from weir_control.store.relations import check_llm
from weir_control.store.rows import fetch, put
from weir_control.store.sealing import seal_override
from weir_control.store.store import Change
from weir_control.store.tables import attachments
from weir_core.secrets import KeyRing

router = APIRouter(prefix="/llms", tags=["llms"])


@router.get("/{llm_id}/plugins", summary="List an LLM's plugins")
async def list_attachments(
    control: Control, caller: Caller, llm_id: PathId, asked: PageQuery
) -> Page[Attachment]:
    """In order of execution."""
    async with control.store.reading() as connection:
        await fetch(connection, LLM, llm_id, *visible(caller, LLM))
        attached = await read_attached(connection, control.store.keyring, llm_id)
    return slice_of([_answer(caller, item) for item in attached], asked)


@router.put("/{llm_id}/plugins", summary="Set an LLM's plugins")
async def set_attachments(
    control: Control, caller: Caller, llm_id: PathId, body: AttachmentsInput, response: Response
) -> Page[Attachment]:
    """Replaces the whole list; the order is the order of execution. An empty list detaches every plugin. An
    attachment with a new `config_override` is tried out first: 422 when the plugin cannot start with it."""
    wanted, field = _wanted(body)
    async with control.store.reading() as connection:
        llm = await fetch(connection, LLM, llm_id, *visible(caller, LLM))
        before = await read_attached(connection, control.store.keyring, llm_id)
        found = await find_plugins(connection, caller, wanted, before)
    check_plugins(wanted, found, field)
    overrides = await checked_overrides(control.plugin_changes, caller, wanted, found, before)
    async with control.store.changing(caller.actor) as change:
        await check_unchanged(change.connection, llm, found)
        await check_default_apps(change.connection, caller, wanted, before)
        await put(change, LLM, llm_id, {})
        await _replace(change, control.store.keyring, llm_id, wanted, overrides)
        await check_llm(change.connection, llm_id)
        stored = await read_attached(change.connection, control.store.keyring, llm_id)
    stamp(response, change.revision)
    return slice_of([_answer(caller, item) for item in stored], PageParameters(limit=MAX_LIMIT))


def _wanted(body: AttachmentsInput) -> tuple[list[AttachmentInput], str]:
    """The list in its long form, and how the path of one of its plugin ids is written."""
    if (body.plugin_ids is None) == (body.plugins is None):
        raise invalid("plugin_ids", "give either plugin_ids or plugins", "required")
    if body.plugin_ids is not None:
        return [AttachmentInput(plugin_id=plugin_id) for plugin_id in body.plugin_ids], "plugin_ids[{}]"
    return body.plugins or [], "plugins[{}].plugin_id"


async def _replace(
    change: Change,
    keyring: KeyRing,
    llm_id: int,
    wanted: Sequence[AttachmentInput],
    overrides: Sequence[Override],
) -> None:
    await change.connection.execute(delete(attachments).where(attachments.c.llm_id == llm_id))
    rows: list[dict[str, Any]] = [
        {
            "llm_id": llm_id,
            "position": position,
            **item.model_dump(exclude={"config_override"}),
            "config_override_sealed": seal_override(keyring, llm_id, item.plugin_id, override.config),
            "kept_secrets": override.secrets,
        }
        for position, (item, override) in enumerate(zip(wanted, overrides, strict=True))
    ]
    if rows:
        await change.connection.execute(insert(attachments), rows)


def _answer(caller: Principal, attached: Attached) -> Attachment:
    override = attached.shown(unmarked=caller.sees_unmarked_config)
    return Attachment.model_validate({**attached.row, "config_override": override})
