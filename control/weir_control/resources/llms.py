"""``/llms``: the upstreams that apps may call."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Response
from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, ValidationInfo
from sqlalchemy import RowMapping

from weir_control.api import not_supported as later
from weir_control.api.answers import Stored, answer
from weir_control.api.envelopes import One, Page, PageQuery, page_of
from weir_control.api.fields import (
    BodyCaptureField,
    Endpoint,
    HeaderSecret,
    InputModel,
    Metadata,
    Name,
    Namespace,
    PathId,
    Patterns,
    Slug,
    VendorName,
    one_line,
)
from weir_control.api.merge_patch import PatchBody, patched
from weir_control.api.validation import validate
from weir_control.deps import Caller, Control, ControlDeps, no_content, stamp
from weir_control.principal import API_PREFIX, Permission, Principal
from weir_control.store.kinds import LLM
from weir_control.store.namespaces import check_reach, visible
from weir_control.store.relations import check_llm
from weir_control.store.rows import add, fetch, fetch_page, put, remove
from weir_control.store.sealing import set_api_key
from weir_control.store.slugs import choose_slug

router = APIRouter(prefix="/llms", tags=["llms"])


def _is_allowed(model: str | None, info: ValidationInfo) -> str | None:
    patterns = info.data.get("allowed_models", ())
    if model is not None and patterns and not any(re.fullmatch(pattern, model) for pattern in patterns):
        raise ValueError("is not one of allowed_models")
    return model


ModelName = Annotated[str, StringConstraints(min_length=1, max_length=256), AfterValidator(one_line)]


class LlmInput(InputModel):
    """An LLM as an admin writes it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "OpenAI",
                    "vendor": "openai",
                    "api_endpoint": "https://api.openai.com/v1",
                    "api_key": "sk-...",
                    "allowed_models": ["gpt-4o.*"],
                }
            ]
        }
    )

    name: Name
    slug: Slug | None = None
    vendor: VendorName
    api_endpoint: Endpoint
    api_key: HeaderSecret | None = Field(
        default=None,
        description="The vendor's key. Write-only and encrypted; null for an upstream without one.",
    )
    allowed_models: Patterns = Field(
        default_factory=list,
        description="Regular expressions; a model's whole name must match one. Empty allows every model.",
    )
    default_model: Annotated[ModelName | None, AfterValidator(_is_allowed)] = Field(
        default=None, description="Used when a request names no model."
    )
    is_active: bool = True
    timeout_seconds: int = Field(default=300, ge=1, le=3600, description="For the whole upstream call.")
    retries: later.Retries = None
    fallback_llm_ids: later.FallbackLlmIds = None
    monthly_budget: later.MonthlyBudget = None
    rate_limit_rpm: later.RateLimitRpm = None
    default_max_output_tokens: later.DefaultMaxOutputTokens = None
    allow_unmetered_paths: later.AllowUnmeteredPaths = None
    allowed_override_origins: later.AllowedOverrideOrigins = None
    body_capture: BodyCaptureField = "full"
    namespace: Namespace = ""
    metadata: Metadata = Field(default_factory=dict)


class Llm(Stored):
    """An LLM. Its key is never shown."""

    name: str = Field(examples=["OpenAI"])
    slug: str = Field(examples=["openai"])
    vendor: str = Field(examples=["openai"])
    api_endpoint: str = Field(examples=["https://api.openai.com/v1"])
    has_api_key: bool
    allowed_models: list[str]
    default_model: str | None
    is_active: bool
    timeout_seconds: int
    body_capture: str
    namespace: str
    metadata: dict[str, Any]


_COLUMNS = (
    "name",
    "vendor",
    "api_endpoint",
    "allowed_models",
    "default_model",
    "is_active",
    "timeout_seconds",
    "body_capture",
    "namespace",
    "metadata",
)


@router.get("", summary="List LLMs")
async def list_llms(control: Control, caller: Caller, asked: PageQuery) -> Page[Llm]:
    async with control.store.reading() as connection:
        mine = visible(caller, LLM)
        rows, total = await fetch_page(connection, LLM, *mine, limit=asked.limit, offset=asked.offset)
    return page_of([_answer(row) for row in rows], total, asked)


@router.post("", status_code=201, summary="Create an LLM")
async def create_llm(control: Control, caller: Caller, body: LlmInput, response: Response) -> One[Llm]:
    check_reach(caller, body.namespace)
    if body.api_key is not None:
        caller.require(Permission.CHANGE_SECRETS, fields=["api_key"])
    async with control.store.changing(caller.actor) as change:
        slug = await choose_slug(change.connection, caller, LLM, body.name, body.slug)
        llm_id = await add(change, LLM, _values(body) | {"slug": slug})
        await set_api_key(change.connection, control.store.keyring, llm_id, body.api_key)
        row = await fetch(change.connection, LLM, llm_id)
    stamp(response, change.revision, f"{API_PREFIX}/llms/{llm_id}")
    return One(data=_answer(row))


@router.get("/{llm_id}", summary="Get an LLM")
async def get_llm(control: Control, caller: Caller, llm_id: PathId) -> One[Llm]:
    async with control.store.reading() as connection:
        return One(data=_answer(await fetch(connection, LLM, llm_id, *visible(caller, LLM))))


@router.put("/{llm_id}", summary="Replace an LLM")
async def replace_llm(
    control: Control, caller: Caller, llm_id: PathId, body: LlmInput, response: Response
) -> One[Llm]:
    """What the body leaves out returns to its default: without `api_key` there is none, but for an operator,
    who cannot take it away. The slug stays."""
    return await _change(
        control, caller, llm_id, response, lambda _: body, sets_key=caller.may(Permission.CHANGE_SECRETS)
    )


@router.patch("/{llm_id}", summary="Change an LLM")
async def change_llm(
    control: Control, caller: Caller, llm_id: PathId, body: PatchBody, response: Response
) -> One[Llm]:
    """JSON Merge Patch: only what the body names is changed."""

    def merged(current: RowMapping) -> LlmInput:
        return validate(LlmInput, patched({name: current[name] for name in _COLUMNS}, body))

    return await _change(control, caller, llm_id, response, merged, sets_key="api_key" in body)


@router.delete("/{llm_id}", status_code=204, summary="Delete an LLM")
async def delete_llm(control: Control, caller: Caller, llm_id: PathId) -> Response:
    """It disappears from the `llm_ids` of every app, with its list of plugins. Records of its calls stay."""
    async with control.store.changing(caller.actor) as change:
        await remove(change, LLM, llm_id, *visible(caller, LLM))
    return no_content(change.revision)


async def _change(
    control: ControlDeps,
    caller: Principal,
    llm_id: int,
    response: Response,
    wanted_of: Callable[[RowMapping], LlmInput],
    *,
    sets_key: bool,
) -> One[Llm]:
    async with control.store.changing(caller.actor) as change:
        current = await fetch(change.connection, LLM, llm_id, *visible(caller, LLM))
        wanted = wanted_of(current)
        check_reach(caller, wanted.namespace)
        _check_authority(caller, current, wanted, sets_key=sets_key)
        slug = await choose_slug(change.connection, caller, LLM, wanted.name, wanted.slug, current)
        await put(change, LLM, llm_id, _values(wanted) | {"slug": slug})
        if sets_key:
            await set_api_key(change.connection, control.store.keyring, llm_id, wanted.api_key)
        await check_llm(change.connection, llm_id)
        row = await fetch(change.connection, LLM, llm_id)
    stamp(response, change.revision)
    return One(data=_answer(row))


def _check_authority(caller: Principal, current: RowMapping, wanted: LlmInput, *, sets_key: bool) -> None:
    """Who may not touch secrets may not send a stored one elsewhere either."""
    fields = [name for name in ("vendor", "api_endpoint") if current[name] != getattr(wanted, name)]
    if current["api_key_sealed"] is not None and fields:
        caller.require(Permission.CHANGE_SECRETS, fields=fields)
    if sets_key or wanted.api_key is not None:
        caller.require(Permission.CHANGE_SECRETS, fields=["api_key"])


def _values(body: LlmInput) -> dict[str, Any]:
    return body.model_dump(include=set(_COLUMNS))


def _answer(row: RowMapping) -> Llm:
    return answer(Llm, row, has_api_key=row["api_key_sealed"] is not None)
