"""Where an erasure goes: each table with its way to a subject's rows and to what must go of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from sqlalchemy import (
    JSON,
    ColumnElement,
    Table,
    and_,
    bindparam,
    cast,
    delete,
    func,
    or_,
    select,
    type_coerce,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from weir_collectors.book import add_sums
from weir_collectors.database import reading
from weir_collectors.erasures import Scope
from weir_collectors.kinds import EventKind
from weir_collectors.scrubbing import ERASED_REASON, scrub
from weir_collectors.tables import RECORDS, undecodable_events
from weir_collectors.tables_accounting import SUMS, rollups_hourly
from weir_collectors.tables_dead_letters import dead_letters
from weir_collectors.tally import HOUR_US, RollupKey, user_key

_STEP_IDS: Final = 2000
_PIECE_ROWS: Final = 25
_STEP_HOURS: Final = 31 * 24


@dataclass(frozen=True, slots=True)
class Target:
    """What to erase: of an app's or a user's events, those that began at ``cutoff_us`` or earlier."""

    scope: Scope
    subject: str
    cutoff_us: int


@dataclass(frozen=True, slots=True)
class Step:
    """What was found up to a position: ids, or hours."""

    found: Sequence[int]
    position: int
    piece: int

    def pieces(self) -> Iterator[Sequence[int]]:
        """As many of them as one transaction takes on."""
        for start in range(0, len(self.found), self.piece):
            yield self.found[start : start + self.piece]


class Stage(Protocol):
    """One table. Positions grow; what is at or before one has been dealt with."""

    name: str

    async def bounds(self) -> tuple[int, int]:
        """The position before the first row, and that of the last."""
        ...

    async def find(self, position: int, last: int) -> Step:
        """Look some way on from a position, in a transaction that only reads."""
        ...

    async def erase(self, connection: AsyncConnection, found: Sequence[int]) -> int:
        """Erase what was found; return how many rows that changed."""
        ...


class _Rows:
    """Rows with ids: goes over all of them, so that it needs no index that every write would pay for."""

    def __init__(self, table: Table, name: str, engine: AsyncEngine, target: Target) -> None:
        self.name = name
        self._table = table
        self._engine = engine
        self._target = target

    async def bounds(self) -> tuple[int, int]:
        ids = self._table.c.id
        async with reading(self._engine) as connection:
            first, last = (await connection.execute(select(func.min(ids), func.max(ids)))).one()
        return (0, 0) if first is None else (first - 1, last)

    async def find(self, position: int, last: int) -> Step:
        ids = self._table.c.id
        end = min(position + _STEP_IDS, last)
        wanted = select(ids).where(ids > position, ids <= end, self._is_targets()).order_by(ids)
        async with reading(self._engine) as connection:
            return Step((await connection.execute(wanted)).scalars().all(), end, _PIECE_ROWS)

    async def erase(self, connection: AsyncConnection, found: Sequence[int]) -> int:
        columns = self._table.c
        rows = await connection.execute(select(columns.id, columns.value).where(columns.id.in_(found)))
        scrubbed = [(row.id, row.value, row.value and scrub(row.value)) for row in rows]
        changes = [{"row": row_id, "scrubbed": new} for row_id, old, new in scrubbed if new != old]
        if changes:
            change = update(self._table).where(columns.id == bindparam("row"))
            await connection.execute(
                change.values(value=bindparam("scrubbed"), **self._also_changed()), changes
            )
        return len(changes)

    def _is_targets(self) -> ColumnElement[bool]:
        columns, target = self._table.c, self._target
        old_enough = columns.timestamp_us <= target.cutoff_us
        if target.scope is Scope.APP:
            return and_(old_enough, columns.app_id == int(target.subject))
        return and_(old_enough, self._users() == target.subject)

    def _users(self) -> ColumnElement[Any]:
        value = self._table.c.value
        as_json: ColumnElement[Any] = type_coerce(value, JSON)
        if self._engine.dialect.name == "postgresql":
            # Wherever this escape stands, Postgres would refuse the whole value.
            as_json = cast(func.replace(value, "\\u0000", "\\u0020"), JSON)
        users: ColumnElement[Any] = as_json["user_id"].as_string()
        return users

    def _also_changed(self) -> dict[str, Any]:
        return {}


class _DeadLetters(_Rows):
    """Dead letters; of some, the event itself is not known any more."""

    async def erase(self, connection: AsyncConnection, found: Sequence[int]) -> int:
        columns = self._table.c
        without_event = update(self._table).where(
            columns.id.in_(found),
            columns.value.is_(None),
            or_(columns.user_id.is_not(None), columns.reason != ERASED_REASON),
        )
        emptied = await connection.execute(without_event.values(self._also_changed()))
        return emptied.rowcount + await super().erase(connection, found)

    def _is_targets(self) -> ColumnElement[bool]:
        columns, target = self._table.c, self._target
        old_enough = or_(columns.timestamp_us.is_(None), columns.timestamp_us <= target.cutoff_us)
        if target.scope is Scope.APP:
            return and_(old_enough, columns.app_id == int(target.subject))
        return and_(old_enough, columns.user_id == target.subject)

    def _also_changed(self) -> dict[str, Any]:
        no_words = dict.fromkeys(("reason_unquoted", "redrive_error", "redrive_error_unquoted"))
        return {"user_id": None, "reason": ERASED_REASON, **no_words}


class _Undecodable(_Rows):
    """Records of the log that are no events: of an app those with its key, of a user none can be told."""

    async def erase(self, connection: AsyncConnection, found: Sequence[int]) -> int:
        gone = await connection.execute(delete(self._table).where(self._table.c.id.in_(found)))
        return gone.rowcount

    def _is_targets(self) -> ColumnElement[bool]:
        if self._target.scope is Scope.USER:
            return self._table.c.id.is_(None)
        return self._table.c.key == self._target.subject.encode()


class _Rollups:
    """Sums lose the user's name and keep their numbers; the hour of the cut-off loses it wholly."""

    def __init__(self, name: str, engine: AsyncEngine, target: Target) -> None:
        self.name = name
        self._engine = engine
        self._target = target

    async def bounds(self) -> tuple[int, int]:
        hours = rollups_hourly.c.hour
        async with reading(self._engine) as connection:
            first, last = (await connection.execute(select(func.min(hours), func.max(hours)))).one()
        return (0, 0) if first is None else (first - 1, min(last, self._target.cutoff_us // HOUR_US))

    async def find(self, position: int, last: int) -> Step:
        hours = rollups_hourly.c.hour
        end = min(position + _STEP_HOURS, last)
        wanted = select(hours).where(hours > position, hours <= end, self._is_targets()).distinct()
        async with reading(self._engine) as connection:
            return Step((await connection.execute(wanted.order_by(hours))).scalars().all(), end, 1)

    async def erase(self, connection: AsyncConnection, found: Sequence[int]) -> int:
        columns = rollups_hourly.c
        named = delete(rollups_hourly).where(columns.hour.in_(found), self._is_targets())
        gone = await connection.execute(named.returning(rollups_hourly))
        nameless: dict[RollupKey, tuple[int, ...]] = {}
        count = 0
        for row in gone.mappings():
            count += 1
            key = RollupKey(**{name: row[name] for name in RollupKey._fields})._replace(user_id="")
            present = nameless.get(key, (0,) * len(SUMS))
            nameless[key] = tuple(so_far + row[name] for so_far, name in zip(present, SUMS, strict=True))
        await add_sums(connection, rollups_hourly, SUMS, nameless)
        return count

    def _is_targets(self) -> ColumnElement[bool]:
        columns, target = rollups_hourly.c, self._target
        if target.scope is Scope.APP:
            return and_(columns.app_id == int(target.subject), columns.user_id != "")
        return columns.user_id == user_key(target.subject)


def _records_stage(kind: EventKind) -> Callable[[AsyncEngine, Target], Stage]:
    return lambda engine, target: _Rows(RECORDS[kind], f"{kind} records", engine, target)


STAGES: Final[tuple[Callable[[AsyncEngine, Target], Stage], ...]] = (
    *map(_records_stage, EventKind),
    lambda engine, target: _DeadLetters(dead_letters, "dead letters", engine, target),
    lambda engine, target: _Undecodable(undecodable_events, "undecodable events", engine, target),
    lambda engine, target: _Rollups("sums", engine, target),
)
"""In the order of a run. A run that was killed knows its stage by its number: add new ones at the end."""
