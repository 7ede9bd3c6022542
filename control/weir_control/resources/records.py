"""``/records``: the events that no collector took over."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from weir_collectors.kinds import EventKind
from weir_collectors.queries import MAX_PAGE, RecordFilter, read_page
from weir_control.api.bodies import without_bodies
from weir_control.api.envelopes import RecordsPage
from weir_control.api.fields import Id, Moment
from weir_control.deps import Caller, Control, ControlDeps
from weir_control.principal import Principal
from weir_control.store.namespaces import visible_events
from weir_core.clock import parse_rfc3339

router = APIRouter(prefix="/records", tags=["records"])

_Text = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"^[^\x00]+$")]


class RecordsParameters(BaseModel):
    """Which records; a parameter that is not one of these is refused."""

    model_config = ConfigDict(extra="forbid")

    app_id: Id | None = None
    llm_id: Id | None = None
    model: _Text | None = Field(default=None, description="A model's exact name.")
    request_id: _Text | None = None
    status: int | None = Field(default=None, ge=100, le=599, description="HTTP status; proxy logs only.")
    from_: Moment | None = Field(default=None, alias="from", description="The first moment that is included.")
    to: Moment | None = Field(default=None, description="The first moment that is not.")
    cursor: Annotated[str, StringConstraints(max_length=256)] | None = Field(
        default=None, description="`next_cursor` of the page before."
    )
    limit: int = Field(default=25, ge=1, le=MAX_PAGE)


_Asked = Annotated[RecordsParameters, Query()]


@router.get("/proxy-logs", summary="List proxy logs")
async def list_proxy_logs(control: Control, caller: Caller, asked: _Asked) -> RecordsPage:
    """What was asked and answered, newest first. Operators and viewers see that there are bodies, and not
    their text."""
    page = await _page(control, caller, EventKind.PROXY_LOG, asked)
    if not caller.sees_bodies:
        page.data = list(map(without_bodies, page.data))
    return page


@router.get("/analytics", summary="List analytics")
async def list_analytics(control: Control, caller: Caller, asked: _Asked) -> RecordsPage:
    """What was consumed and what it cost, newest first."""
    return await _page(control, caller, EventKind.ANALYTICS, asked)


@router.get("/budget-usage", summary="List budget usage")
async def list_budget_usage(control: Control, caller: Caller, asked: _Asked) -> RecordsPage:
    """What was taken from budgets, newest first."""
    return await _page(control, caller, EventKind.BUDGET_USAGE, asked)


async def _page(
    control: ControlDeps, caller: Principal, kind: EventKind, asked: RecordsParameters
) -> RecordsPage:
    wanted = RecordFilter(
        app_id=asked.app_id,
        llm_id=asked.llm_id,
        model=asked.model,
        request_id=asked.request_id,
        status=asked.status,
        from_us=_microseconds(asked.from_),
        to_us=_microseconds(asked.to),
    )
    page = await read_page(
        control.store.engine,
        kind,
        wanted,
        only=partial(visible_events, caller),
        cursor=asked.cursor,
        limit=asked.limit,
    )
    records: list[dict[str, Any]] = list(page.records)
    return RecordsPage(data=records, next_cursor=page.next_cursor)


def _microseconds(moment: str | None) -> int | None:
    return None if moment is None else parse_rfc3339(moment)
