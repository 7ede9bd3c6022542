"""``/audit-log``: who changed what. There is no way to change it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy import ColumnElement, RowMapping, and_, func, or_, select

from weir_control.api.envelopes import MAX_LIMIT
from weir_control.api.fields import Id, Moment
from weir_control.deps import Caller, Control
from weir_control.errors import invalid
from weir_control.principal import Principal
from weir_control.store.tables import audit_log
from weir_core.clock import parse_rfc3339, rfc3339

router = APIRouter(prefix="/audit-log", tags=["audit-log"])


class AuditParameters(BaseModel):
    """Which entries; a parameter that is not one of these is refused."""

    model_config = ConfigDict(extra="forbid")

    resource: Annotated[str, StringConstraints(pattern=r"^[a-z-]{1,64}$")] | None = Field(
        default=None, description="As it stands in paths, such as `plugins`.", examples=["plugins"]
    )
    id: Id | None = Field(default=None, description="The object's; give `resource` as well.")
    actor: Id | None = Field(default=None, description="The id of a token.")
    from_: Moment | None = Field(default=None, alias="from", description="The first moment that is included.")
    to: Moment | None = Field(default=None, description="The first moment that is not.")
    cursor: Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,17}$")] | None = Field(
        default=None, description="`next_cursor` of the page before."
    )
    limit: int = Field(default=25, ge=1, le=MAX_LIMIT)


class AuditActor(BaseModel):
    """Who made a change."""

    kind: str = Field(
        description="`token`, `command_line` or `start` (the gateway's own).", examples=["token"]
    )
    token_id: int | None
    name: str = Field(description="Of the token, or of the user at the command line.", examples=["ci"])
    role: str | None = Field(examples=["admin"])


class AuditEntry(BaseModel):
    """One change of one object. Secrets are `***`."""

    id: int = Field(examples=[1])
    timestamp: str = Field(examples=["2026-01-31T12:00:00.000000Z"])
    actor: AuditActor
    resource: str = Field(examples=["plugins"])
    object_id: int | None = Field(examples=[1])
    action: str = Field(
        description="`create`, `update`, `delete`, or another verb of the resource.", examples=["update"]
    )
    changed: list[str] = Field(
        description="The fields that differ, secrets included: one that was replaced shows here only."
    )
    before: dict[str, Any] | None = Field(description="Null for a new object.")
    after: dict[str, Any] | None = Field(description="Null for one that is gone.")
    request_id: str | None = Field(description="`X-Request-Id` of the request's answer.")
    revision: int | None = Field(description="Of the configuration, where the change made one.")


class AuditPage(BaseModel):
    """One page of entries, newest first."""

    data: list[AuditEntry]
    next_cursor: str | None = Field(description="Give it as `cursor` for the next page; null on the last.")


@router.get("", summary="List changes")
async def list_changes(
    control: Control, caller: Caller, asked: Annotated[AuditParameters, Query()]
) -> AuditPage:
    """Newest first. A token that is bound to namespaces sees changes inside them."""
    if asked.id is not None and asked.resource is None:
        raise invalid("resource", "goes with id: ids are given out by resource", "required")
    statement = (
        select(audit_log)
        .where(*_conditions(asked), *_visible(caller))
        .order_by(audit_log.c.id.desc())
        .limit(asked.limit + 1)
    )
    async with control.store.reading() as connection:
        rows = (await connection.execute(statement)).mappings().all()
    page = rows[: asked.limit]
    more = len(rows) > asked.limit
    return AuditPage(data=list(map(_answer, page)), next_cursor=str(page[-1]["id"]) if more else None)


def _conditions(asked: AuditParameters) -> list[ColumnElement[bool]]:
    columns = audit_log.c
    conditions: list[ColumnElement[bool]] = []
    if asked.resource is not None:
        conditions.append(columns.resource == asked.resource)
    if asked.id is not None:
        conditions.append(columns.object_id == asked.id)
    if asked.actor is not None:
        conditions.append(columns.token_id == asked.actor)
    if asked.from_ is not None:
        conditions.append(columns.at_us >= parse_rfc3339(asked.from_))
    if asked.to is not None:
        conditions.append(columns.at_us < parse_rfc3339(asked.to))
    if asked.cursor is not None:
        conditions.append(columns.id < int(asked.cursor))
    return conditions


def _visible(caller: Principal) -> list[ColumnElement[bool]]:
    """A move between namespaces is seen by those who see both: its entry shows the object in each."""
    if caller.namespaces is None:
        return []
    columns = audit_log.c
    sides = (columns.namespace_before, columns.namespace_after)
    inside = [or_(side.is_(None), side.in_(caller.namespaces)) for side in sides]
    return [and_(func.coalesce(*sides).is_not(None), *inside)]


def _answer(row: RowMapping) -> AuditEntry:
    actor = AuditActor(
        kind=row["actor_kind"], token_id=row["token_id"], name=row["actor_name"], role=row["actor_role"]
    )
    return AuditEntry.model_validate({**row, "timestamp": rfc3339(row["at_us"]), "actor": actor})
