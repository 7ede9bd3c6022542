"""``/apps``: who calls, and which LLMs they may use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Response
from pydantic import AfterValidator, ConfigDict, Field, StringConstraints
from sqlalchemy import ColumnElement, RowMapping, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from weir_control.api import not_supported as later
from weir_control.api.answers import Stored, answer
from weir_control.api.envelopes import One, Page, PageQuery, page_of
from weir_control.api.fields import (
    BodyCaptureField,
    Description,
    Ids,
    InputModel,
    Metadata,
    Name,
    Namespace,
    PathId,
    one_line,
)
from weir_control.api.merge_patch import PatchBody, patched
from weir_control.api.validation import validate
from weir_control.deps import Caller, Control, no_content, stamp
from weir_control.errors import FieldError, InvalidFieldsError
from weir_control.principal import API_PREFIX, Principal
from weir_control.store.kinds import APP, LLM
from weir_control.store.namespaces import check_reach, visible
from weir_control.store.relations import check_app, refuse_default_app
from weir_control.store.rows import add, fetch, fetch_page, missing_ids, put, remove
from weir_control.store.store import Change
from weir_control.store.tables import app_llms

router = APIRouter(prefix="/apps", tags=["apps"])

Email = Annotated[str, StringConstraints(max_length=320, pattern=r"^(?:[^@\s]+@[^@\s]+)?$")]
UserId = Annotated[str, StringConstraints(min_length=1, max_length=256), AfterValidator(one_line)]


class AppInput(InputModel):
    """An app as an admin writes it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"name": "Support bot", "owner_email": "ada@example.com", "llm_ids": [1]}]
        }
    )

    name: Name
    description: Description = ""
    owner_email: Email = ""
    user_id: UserId | None = Field(default=None, description="Recorded with every call of the app.")
    llm_ids: Ids = Field(default_factory=list, description="The LLMs it may use; empty means none.")
    is_active: bool = True
    monthly_budget: later.MonthlyBudget = None
    budget_reset_day: later.BudgetResetDay = None
    rate_limit_rpm: later.RateLimitRpm = None
    allowed_ips: later.AllowedIps = None
    body_capture: BodyCaptureField = "full"
    namespace: Namespace = ""
    metadata: Metadata = Field(default_factory=dict)


class App(Stored):
    """An app."""

    name: str = Field(examples=["Support bot"])
    description: str
    owner_email: str = Field(examples=["ada@example.com"])
    user_id: str | None
    llm_ids: list[int]
    is_active: bool
    body_capture: str
    namespace: str
    metadata: dict[str, Any]


_COLUMNS = (
    "name",
    "description",
    "owner_email",
    "user_id",
    "is_active",
    "body_capture",
    "namespace",
    "metadata",
)


@router.get("", summary="List apps")
async def list_apps(control: Control, caller: Caller, asked: PageQuery) -> Page[App]:
    async with control.store.reading() as connection:
        mine = visible(caller, APP)
        rows, total = await fetch_page(connection, APP, *mine, limit=asked.limit, offset=asked.offset)
        return page_of(await _answers(connection, rows), total, asked)


@router.post("", status_code=201, summary="Create an app")
async def create_app(control: Control, caller: Caller, body: AppInput, response: Response) -> One[App]:
    """It can call nothing before it has a credential: `POST /apps/{id}/credentials`."""
    check_reach(caller, body.namespace)
    async with control.store.changing(caller.actor) as change:
        app_id = await add(change, APP, _values(body))
        await _set_llms(change, caller, app_id, body.llm_ids)
        await check_app(change.connection, app_id)
        created = await _read(change.connection, app_id)
    stamp(response, change.revision, f"{API_PREFIX}/apps/{app_id}")
    return One(data=created)


@router.get("/{app_id}", summary="Get an app")
async def get_app(control: Control, caller: Caller, app_id: PathId) -> One[App]:
    async with control.store.reading() as connection:
        return One(data=await _read(connection, app_id, *visible(caller, APP)))


@router.put("/{app_id}", summary="Replace an app")
async def replace_app(
    control: Control, caller: Caller, app_id: PathId, body: AppInput, response: Response
) -> One[App]:
    """What the body leaves out returns to its default: without `llm_ids` the app may use no LLM."""
    async with control.store.changing(caller.actor) as change:
        await fetch(change.connection, APP, app_id, *visible(caller, APP))
        written = await _write(change, caller, app_id, body)
    stamp(response, change.revision)
    return One(data=written)


@router.patch("/{app_id}", summary="Change an app")
async def change_app(
    control: Control, caller: Caller, app_id: PathId, body: PatchBody, response: Response
) -> One[App]:
    """JSON Merge Patch: only what the body names is changed. A list is replaced as a whole."""
    async with control.store.changing(caller.actor) as change:
        current = await fetch(change.connection, APP, app_id, *visible(caller, APP))
        document = {name: current[name] for name in _COLUMNS}
        document["llm_ids"] = (await _llm_ids(change.connection, [app_id])).get(app_id, [])
        written = await _write(change, caller, app_id, validate(AppInput, patched(document, body)))
    stamp(response, change.revision)
    return One(data=written)


@router.delete("/{app_id}", status_code=204, summary="Delete an app")
async def delete_app(control: Control, caller: Caller, app_id: PathId) -> Response:
    """Its credentials stop working at once. Records of its calls stay."""
    async with control.store.changing(caller.actor) as change:
        await fetch(change.connection, APP, app_id, *visible(caller, APP))
        await refuse_default_app(change.connection, caller, app_id)
        await remove(change, APP, app_id)
    return no_content(change.revision)


async def _write(change: Change, caller: Principal, app_id: int, body: AppInput) -> App:
    check_reach(caller, body.namespace)
    await put(change, APP, app_id, _values(body))
    await _set_llms(change, caller, app_id, body.llm_ids)
    await check_app(change.connection, app_id)
    return await _read(change.connection, app_id)


async def _set_llms(change: Change, caller: Principal, app_id: int, llm_ids: Sequence[int]) -> None:
    """Those that the app has may stay, also where the caller does not see them; a new one must be seen."""
    had = (await _llm_ids(change.connection, [app_id])).get(app_id, [])
    new = set(llm_ids).difference(had)
    unknown = await missing_ids(change.connection, LLM, new, *visible(caller, LLM))
    if unknown:
        raise InvalidFieldsError(
            FieldError(f"llm_ids[{position}]", "unknown_llm", f"there is no LLM {llm_id}")
            for position, llm_id in enumerate(llm_ids)
            if llm_id in unknown
        )
    await change.connection.execute(delete(app_llms).where(app_llms.c.app_id == app_id))
    if llm_ids:
        rows = [{"app_id": app_id, "llm_id": llm_id} for llm_id in llm_ids]
        await change.connection.execute(insert(app_llms), rows)


async def _read(connection: AsyncConnection, app_id: int, *where: ColumnElement[bool]) -> App:
    return (await _answers(connection, [await fetch(connection, APP, app_id, *where)]))[0]


async def _answers(connection: AsyncConnection, rows: Sequence[RowMapping]) -> list[App]:
    llm_ids = await _llm_ids(connection, [row["id"] for row in rows])
    return [answer(App, row, llm_ids=llm_ids.get(row["id"], [])) for row in rows]


async def _llm_ids(connection: AsyncConnection, app_ids: Sequence[int]) -> dict[int, list[int]]:
    statement = select(app_llms).where(app_llms.c.app_id.in_(app_ids)).order_by(app_llms.c.llm_id)
    found: dict[int, list[int]] = {}
    for row in await connection.execute(statement):
        found.setdefault(row.app_id, []).append(row.llm_id)
    return found


def _values(body: AppInput) -> dict[str, Any]:
    return body.model_dump(include=set(_COLUMNS))
