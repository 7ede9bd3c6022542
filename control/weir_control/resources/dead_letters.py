"""``/dead-letters``: what collectors did not get, why, and asking for it to be delivered again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query
from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy import RowMapping

from weir_collectors.dead_letter_queries import (
    DeadLetterFilter,
    find_letter,
    find_range,
    letters_page,
    ranges_page,
)
from weir_collectors.dead_letters import LetterState
from weir_collectors.errors import NoDeadLetterError
from weir_collectors.kinds import EventKind
from weir_collectors.ranges import RangeState
from weir_collectors.tables_dead_letters import dead_letters
from weir_control.api.answers import moment
from weir_control.api.bodies import reason_for, without_bodies
from weir_control.api.envelopes import One, Page, PageParameters, page_of
from weir_control.api.fields import Moment, PathId
from weir_control.deps import Caller, Control
from weir_control.errors import NotFoundError
from weir_control.principal import Principal
from weir_control.redrives import redrive_collector, redrive_letter, redrive_range
from weir_control.store.namespaces import check_unbound, visible_events
from weir_core.clock import parse_rfc3339, rfc3339

router = APIRouter(prefix="/dead-letters", tags=["dead-letters"])

_Slug = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"^[^\x00]+$")]


class _Parameters(PageParameters):
    collector: _Slug | None = Field(default=None, description="A collector's slug.")
    kind: EventKind | None = None
    from_: Moment | None = Field(default=None, alias="from", description="The first moment that is included.")
    to: Moment | None = Field(default=None, description="The first moment that is not.")

    def filter(self, state: str | None) -> DeadLetterFilter:
        return DeadLetterFilter(
            collector=self.collector,
            kind=self.kind,
            state=state,
            from_us=None if self.from_ is None else parse_rfc3339(self.from_),
            to_us=None if self.to is None else parse_rfc3339(self.to),
        )


class LetterParameters(_Parameters):
    """Which dead letters; a parameter that is not one of these is refused."""

    state: LetterState | None = None


class RangeParameters(_Parameters):
    """Which ranges; a parameter that is not one of these is refused."""

    state: RangeState | None = None


class _Redrivable(BaseModel):
    id: int = Field(examples=[1])
    collector: str = Field(description="The collector's slug.", examples=["warehouse"])
    kind: EventKind
    reason: str = Field(
        description="Why the collector did not get it; in its own words for admins and auditors only."
    )
    requested_at: str | None = Field(description="When a redrive was last asked for.")
    redriven_at: str | None
    redrive_error: str | None = Field(
        description="Why the last redrive failed, or could not go on; likewise."
    )


class DeadLetter(_Redrivable):
    """An event that a collector gave up on."""

    state: LetterState
    event_id: str
    request_id: str | None
    timestamp: str | None = Field(description="The event's own.")
    app_id: int | None
    llm_id: int | None
    user_id: str | None
    retryable: bool = Field(description="Whether the last failure might have passed.")
    tries: int
    failed_at: str


class DeadLetterWithEvent(DeadLetter):
    """A dead letter and its event."""

    event: dict[str, Any] | None = Field(
        description="The whole event; its bodies for admins and auditors only. Null when it is not known."
    )


class DeadLetterRange(_Redrivable):
    """Events in a row that a collector was not asked about: its sink was away, or it was too far behind."""

    state: RangeState
    topic: str
    partition: str
    first_offset: int
    last_offset: int
    events: int = Field(description="Those of them that are for this collector.")
    opened_at: str
    closed_at: str | None = Field(description="Null while it may grow.")
    redriven: int = Field(description="Delivered by redrives, so far.")
    failed: int = Field(description="Given up on by redrives, each as a dead letter of its own.")
    missing: int = Field(description="Neither in the log nor among the records any more.")


class Requested(BaseModel):
    """What was newly asked for."""

    letters: int
    ranges: int


@router.get("", summary="List dead letters")
async def list_dead_letters(
    control: Control, caller: Caller, asked: Annotated[LetterParameters, Query()]
) -> Page[DeadLetter]:
    """Events that a collector gave up on, newest first. Each was stored as unhandled."""
    only = visible_events(caller, dead_letters)
    async with control.store.reading() as connection:
        page = await letters_page(
            connection, asked.filter(asked.state), *only, limit=asked.limit, offset=asked.offset
        )
    return page_of([DeadLetter(**_letter(caller, row)) for row in page.rows], page.total, asked)


@router.get("/ranges", summary="List ranges of dead letters")
async def list_dead_letter_ranges(
    control: Control, caller: Caller, asked: Annotated[RangeParameters, Query()]
) -> Page[DeadLetterRange]:
    """What collectors were not asked about, newest first. Ranges stand for all namespaces."""
    check_unbound(caller, "Ranges of dead letters stand")
    async with control.store.reading() as connection:
        page = await ranges_page(
            connection, asked.filter(asked.state), limit=asked.limit, offset=asked.offset
        )
    return page_of([_range(caller, row) for row in page.rows], page.total, asked)


@router.get("/ranges/{range_id}", summary="Get a range of dead letters")
async def get_dead_letter_range(control: Control, caller: Caller, range_id: PathId) -> One[DeadLetterRange]:
    check_unbound(caller, "Ranges of dead letters stand")
    with _found():
        async with control.store.reading() as connection:
            return One(data=_range(caller, await find_range(connection, range_id)))


@router.post("/ranges/{range_id}/redrive", status_code=202, summary="Redrive a range of dead letters")
async def redrive_dead_letter_range(
    control: Control, caller: Caller, range_id: PathId
) -> One[DeadLetterRange]:
    """The range is delivered to its collector again, and grows no more. Its records stay."""
    check_unbound(caller, "Ranges of dead letters stand")
    with _found():
        async with control.store.writing() as connection:
            row = await redrive_range(connection, caller.actor, range_id, control.store.clock.wall_us())
            return One(data=_range(caller, row))


@router.post("/redrive", status_code=202, summary="Redrive all of a collector's dead letters")
async def redrive_dead_letters(
    control: Control, caller: Caller, collector: Annotated[_Slug, Query(description="Its slug.")]
) -> One[Requested]:
    """Everything that the collector did not get, ranges included, is delivered to it again."""
    check_unbound(caller, "A collector's dead letters stand")
    async with control.store.writing() as connection:
        now_us = control.store.clock.wall_us()
        requested = await redrive_collector(connection, caller.actor, collector, now_us)
    return One(data=Requested(letters=requested.letters, ranges=requested.ranges))


@router.get("/{letter_id}", summary="Get a dead letter")
async def get_dead_letter(control: Control, caller: Caller, letter_id: PathId) -> One[DeadLetterWithEvent]:
    with _found():
        async with control.store.reading() as connection:
            row = await find_letter(connection, letter_id, *visible_events(caller, dead_letters))
    return One(data=_with_event(caller, row))


@router.post("/{letter_id}/redrive", status_code=202, summary="Redrive a dead letter")
async def redrive_dead_letter(
    control: Control, caller: Caller, letter_id: PathId
) -> One[DeadLetterWithEvent]:
    """The event is delivered to its collector again, by the collectors process, within seconds. Its record
    stays. A letter that is redriven already is left as it is."""
    only = visible_events(caller, dead_letters)
    with _found():
        async with control.store.writing() as connection:
            now_us = control.store.clock.wall_us()
            row = await redrive_letter(connection, caller.actor, letter_id, now_us, *only)
    return One(data=_with_event(caller, row))


@contextmanager
def _found() -> Iterator[None]:
    try:
        yield
    except NoDeadLetterError as error:
        text = str(error)
        raise NotFoundError(f"{text[0].upper()}{text[1:]}.") from error


def _letter(caller: Principal, row: RowMapping) -> dict[str, Any]:
    return {
        **_redrivable(caller, row),
        "timestamp": moment(row["timestamp_us"]),
        "failed_at": rfc3339(row["failed_at_us"]),
    }


def _with_event(caller: Principal, row: RowMapping) -> DeadLetterWithEvent:
    event = None if row["value"] is None else msgspec.json.decode(row["value"])
    if event is not None and not caller.sees_bodies:
        event = without_bodies(event)
    return DeadLetterWithEvent(**_letter(caller, row), event=event)


def _range(caller: Principal, row: RowMapping) -> DeadLetterRange:
    return DeadLetterRange(
        **_redrivable(caller, row),
        opened_at=rfc3339(row["opened_at_us"]),
        closed_at=moment(row["closed_at_us"]),
    )


def _redrivable(caller: Principal, row: RowMapping) -> dict[str, Any]:
    error = row["redrive_error"]
    return {
        **row,
        "reason": reason_for(caller, row["reason"], row["reason_unquoted"]),
        "redrive_error": error and reason_for(caller, error, row["redrive_error_unquoted"]),
        "requested_at": moment(row["requested_at_us"]),
        "redriven_at": moment(row["redriven_at_us"]),
    }
