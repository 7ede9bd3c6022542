"""``/edge-payloads``: what plugins at the edge sent to control and no studio plugin has taken yet."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from sqlalchemy import ColumnElement, RowMapping, func, select

from weir_control.api.bodies import reason_for
from weir_control.api.envelopes import One, Page, PageParameters, page_of
from weir_control.api.fields import Id
from weir_control.deps import Caller, Control
from weir_control.errors import NotFoundError
from weir_control.principal import Principal
from weir_control.store.audit import Entry, append_entry
from weir_control.studio.inbox import revive
from weir_control.studio.tables import edge_payloads
from weir_core.clock import rfc3339
from weir_streams.payloads import decode_payload

router = APIRouter(prefix="/edge-payloads", tags=["edge-payloads"])

_COLUMNS = edge_payloads.c


class PayloadParameters(PageParameters):
    """Which payloads; a parameter that is not one of these is refused."""

    state: Literal["waiting", "failed"] | None = Field(
        default=None, description="`failed` are the dead letters."
    )
    plugin_id: Id | None = Field(default=None, description="The plugin that sent it.")


class Payload(BaseModel):
    """A payload that waits, or was given up."""

    id: int = Field(examples=[1])
    event_id: str
    edge_namespace: str
    edge_id: str
    plugin_id: int = Field(examples=[1])
    correlation_id: str
    metadata: dict[str, str]
    payload: str | None = Field(description="Null for those who may not read bodies.")
    payload_encoding: str | None = Field(description="`base64` where the bytes are not UTF-8.")
    state: str = Field(examples=["failed"])
    tries: int
    reason: str = Field(
        description="Why the last try was in vain, in a plugin's own words for admins and auditors only; "
        "empty before the first."
    )
    sent_at: str
    received_at: str
    next_try_at: str | None
    failed_at: str | None = Field(description="When it became a dead letter.")


@router.get("", summary="List payloads that no studio plugin has")
async def list_edge_payloads(
    control: Control, caller: Caller, asked: Annotated[PayloadParameters, Query()]
) -> Page[Payload]:
    """The oldest first; what was delivered is not here any more."""
    conditions = [*_visible(caller)]
    if asked.state is not None:
        conditions.append(_COLUMNS.state == asked.state)
    if asked.plugin_id is not None:
        conditions.append(_COLUMNS.plugin_id == asked.plugin_id)
    counted = select(func.count()).select_from(edge_payloads).where(*conditions)
    listed = (
        select(edge_payloads).where(*conditions).order_by(_COLUMNS.id).limit(asked.limit).offset(asked.offset)
    )
    async with control.store.reading() as connection:
        total = (await connection.execute(counted)).scalar_one()
        rows = (await connection.execute(listed)).mappings().all()
    return page_of([_answer(row, caller) for row in rows], total, asked)


@router.post("/{payload_id}/redrive", status_code=202, summary="Deliver a dead letter again")
async def redrive_edge_payload(control: Control, caller: Caller, payload_id: Id) -> One[Payload]:
    """It waits again, behind what its plugin and edge have waiting, and gets all its tries."""
    async with control.store.writing() as connection:
        wanted = select(edge_payloads).where(_COLUMNS.id == payload_id, *_visible(caller))
        row = (await connection.execute(wanted)).mappings().one_or_none()
        now_us = control.store.clock.wall_us()
        if row is None or not await revive(connection, payload_id, now_us):
            raise NotFoundError(f"There is no dead letter of an edge payload with the id {payload_id}.")
        entry = Entry(
            resource="edge-payloads",
            object_id=payload_id,
            action="redrive",
            namespace_after=row["edge_namespace"],
            after={"event_id": row["event_id"], "plugin_id": row["plugin_id"]},
        )
        await append_entry(connection, caller.actor, now_us, entry)
    return One(data=_answer(row, caller))


def _visible(caller: Principal) -> list[ColumnElement[bool]]:
    return [] if caller.namespaces is None else [_COLUMNS.edge_namespace.in_(caller.namespaces)]


def _answer(row: RowMapping, caller: Principal) -> Payload:
    event = decode_payload(row["value"])
    shown = caller.sees_bodies
    return Payload(
        id=row["id"],
        event_id=row["event_id"],
        edge_namespace=row["edge_namespace"],
        edge_id=row["edge_id"],
        plugin_id=row["plugin_id"],
        correlation_id=event.correlation_id,
        metadata=event.metadata if shown else {},
        payload=event.payload if shown else None,
        payload_encoding=event.payload_encoding,
        state=row["state"],
        tries=row["tries"],
        reason=reason_for(caller, row["last_error"], row["last_error_unquoted"]),
        sent_at=rfc3339(row["sent_at_us"]),
        received_at=rfc3339(row["received_at_us"]),
        next_try_at=_moment(row["next_try_at_us"]),
        failed_at=_moment(row["failed_at_us"]),
    )


def _moment(at_us: int | None) -> str | None:
    return rfc3339(at_us) if at_us else None
