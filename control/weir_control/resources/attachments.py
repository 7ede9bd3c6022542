"""``/llms/{id}/plugins``: which plugins work on an LLM's calls, in which order, on which conditions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy import RowMapping, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from weir_control.api import not_supported as later
from weir_control.api.envelopes import MAX_LIMIT, Page, PageParameters, PageQuery, slice_of
from weir_control.api.fields import Id, InputModel, PathId
from weir_control.deps import Control, stamp
from weir_control.errors import FieldError, InvalidFieldsError, invalid
from weir_control.plugins.hook_types import effective_hook_types
from weir_control.store.attachment_rules import check_namespaces
from weir_control.store.rows import APP, LLM, fetch, missing_ids, put
from weir_control.store.store import Change
from weir_control.store.tables import attachments, plugins

router = APIRouter(prefix="/llms", tags=["llms"])

HeaderPattern = Annotated[
    str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")
]


class AttachmentInput(InputModel):
    """One plugin of an LLM and how it is called."""

    plugin_id: Id
    timeout_ms: int = Field(default=1000, ge=1, le=600_000, description="For all its hooks in one request.")
    on_error: Literal["fail_closed", "fail_open"] | None = Field(
        default=None,
        description="What a failure of the plugin means for the request. Null is the stage's default: "
        "`fail_closed` for pre_auth, auth and post_auth, `fail_open` for on_response.",
    )
    stream_mode: later.StreamMode = Field(
        default="chunks", description="How on_response sees a stream: chunk by chunk, or not at all (`off`)."
    )
    default_app_id: Id | None = Field(
        default=None, description="The app of a caller whom an auth plugin lets in without naming one."
    )
    response_headers: list[HeaderPattern] = Field(
        default_factory=lambda: ["X-RateLimit-*"],
        max_length=50,
        description="Headers the plugin may put on an answer; `*` stands for anything.",
    )
    config_override: later.ConfigOverride = None


class AttachmentsInput(InputModel):
    """The whole list, in order of execution: either ids alone or each with its options."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"plugin_ids": [1, 2, 3]},
                {"plugins": [{"plugin_id": 1, "timeout_ms": 200, "on_error": "fail_closed"}]},
            ],
            "oneOf": [{"required": ["plugin_ids"]}, {"required": ["plugins"]}],
        }
    )

    plugin_ids: list[Id] | None = Field(default=None, max_length=MAX_LIMIT)
    plugins: list[AttachmentInput] | None = Field(default=None, max_length=MAX_LIMIT)


class Attachment(BaseModel):
    """One plugin of an LLM."""

    plugin_id: int = Field(examples=[1])
    timeout_ms: int = Field(examples=[1000])
    on_error: str | None
    stream_mode: str
    default_app_id: int | None
    response_headers: list[str]


@router.get("/{llm_id}/plugins", summary="List an LLM's plugins")
async def list_attachments(control: Control, llm_id: PathId, asked: PageQuery) -> Page[Attachment]:
    """In order of execution."""
    async with control.store.reading() as connection:
        await fetch(connection, LLM, llm_id)
        return slice_of(await _read(connection, llm_id), asked)


@router.put("/{llm_id}/plugins", summary="Set an LLM's plugins")
async def set_attachments(
    control: Control, llm_id: PathId, body: AttachmentsInput, response: Response
) -> Page[Attachment]:
    """Replaces the whole list; the order is the order of execution. An empty list detaches every plugin."""
    wanted, field = _wanted(body)
    async with control.store.changing() as change:
        await fetch(change.connection, LLM, llm_id)
        await _check(change.connection, wanted, field)
        await _replace(change, llm_id, wanted)
        await put(change, LLM, llm_id, {})
        await check_namespaces(change.connection)
        stored = await _read(change.connection, llm_id)
    stamp(response, change.revision)
    return slice_of(stored, PageParameters(limit=MAX_LIMIT))


def _wanted(body: AttachmentsInput) -> tuple[list[AttachmentInput], str]:
    """The list in its long form, and how the path of one of its plugin ids is written."""
    if (body.plugin_ids is None) == (body.plugins is None):
        raise invalid("plugin_ids", "give either plugin_ids or plugins", "required")
    if body.plugin_ids is not None:
        return [AttachmentInput(plugin_id=plugin_id) for plugin_id in body.plugin_ids], "plugin_ids[{}]"
    return body.plugins or [], "plugins[{}].plugin_id"


async def _check(connection: AsyncConnection, wanted: Sequence[AttachmentInput], field: str) -> None:
    ids = [item.plugin_id for item in wanted]
    known = {row["id"]: row for row in await _plugins(connection, ids)}
    errors = []
    for position, plugin_id in enumerate(ids):
        problem = _problem(plugin_id, known.get(plugin_id), repeated=plugin_id in ids[:position])
        if problem is not None:
            errors.append(FieldError(field.format(position), "invalid", problem))
    default_apps = [item.default_app_id for item in wanted if item.default_app_id is not None]
    unknown = await missing_ids(connection, APP, default_apps)
    for position, item in enumerate(wanted):
        if item.default_app_id in unknown:
            message = f"there is no app {item.default_app_id}"
            errors.append(FieldError(f"plugins[{position}].default_app_id", "unknown_app", message))
    if errors:
        raise InvalidFieldsError(errors)


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


async def _plugins(connection: AsyncConnection, ids: Sequence[int]) -> Sequence[RowMapping]:
    statement = select(plugins.c.id, plugins.c.hook_types, plugins.c.probe_hooks)
    return (await connection.execute(statement.where(plugins.c.id.in_(ids)))).mappings().all()


async def _replace(change: Change, llm_id: int, wanted: Sequence[AttachmentInput]) -> None:
    await change.connection.execute(delete(attachments).where(attachments.c.llm_id == llm_id))
    rows: list[dict[str, Any]] = [
        {"llm_id": llm_id, "position": position, **item.model_dump(exclude={"config_override"})}
        for position, item in enumerate(wanted)
    ]
    if rows:
        await change.connection.execute(insert(attachments), rows)


async def _read(connection: AsyncConnection, llm_id: int) -> list[Attachment]:
    statement = select(attachments).where(attachments.c.llm_id == llm_id).order_by(attachments.c.position)
    return [Attachment.model_validate(row) for row in (await connection.execute(statement)).mappings()]
