"""Reading dead letters and ranges, page by page, newest first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, RowMapping, Table, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from weir_collectors.errors import NoDeadLetterError
from weir_collectors.kinds import EventKind
from weir_collectors.tables_dead_letters import dead_letter_ranges, dead_letters


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterFilter:
    """Which ones to read; None does not restrict. Times are microseconds since the Unix epoch.

    They are compared with the moment of the failure, or of the range's beginning.
    """

    collector: str | None = None
    kind: EventKind | None = None
    state: str | None = None
    from_us: int | None = None
    """The first moment that is included."""
    to_us: int | None = None
    """The first moment that is not."""


@dataclass(frozen=True, slots=True)
class DeadLetterPage:
    """One page of rows, and how many there are in all."""

    rows: Sequence[RowMapping]
    total: int


async def letters_page(
    connection: AsyncConnection,
    wanted: DeadLetterFilter,
    *only: ColumnElement[bool],
    limit: int,
    offset: int,
) -> DeadLetterPage:
    """One page of dead letters."""
    conditions = [*_conditions(dead_letters, dead_letters.c.failed_at_us, wanted), *only]
    return await _page(connection, dead_letters, conditions, limit, offset)


async def ranges_page(
    connection: AsyncConnection, wanted: DeadLetterFilter, *, limit: int, offset: int
) -> DeadLetterPage:
    """One page of ranges."""
    conditions = _conditions(dead_letter_ranges, dead_letter_ranges.c.opened_at_us, wanted)
    return await _page(connection, dead_letter_ranges, conditions, limit, offset)


async def find_letter(connection: AsyncConnection, letter_id: int, *only: ColumnElement[bool]) -> RowMapping:
    """One dead letter.

    Raises:
        NoDeadLetterError: There is none with this id (or none for which ``only`` holds).
    """
    return await _find(connection, dead_letters, "dead letter", letter_id, only)


async def find_range(connection: AsyncConnection, range_id: int) -> RowMapping:
    """One range.

    Raises:
        NoDeadLetterError: There is none with this id.
    """
    return await _find(connection, dead_letter_ranges, "range of dead letters", range_id, ())


def _conditions(
    table: Table, moment: ColumnElement[int], wanted: DeadLetterFilter
) -> list[ColumnElement[bool]]:
    kind = None if wanted.kind is None else wanted.kind.value
    equal = {table.c.collector: wanted.collector, table.c.kind: kind, table.c.state: wanted.state}
    conditions: list[ColumnElement[bool]] = [
        column == value for column, value in equal.items() if value is not None
    ]
    if wanted.from_us is not None:
        conditions.append(moment >= wanted.from_us)
    if wanted.to_us is not None:
        conditions.append(moment < wanted.to_us)
    return conditions


async def _page(
    connection: AsyncConnection,
    table: Table,
    conditions: Sequence[ColumnElement[bool]],
    limit: int,
    offset: int,
) -> DeadLetterPage:
    counted = select(func.count()).select_from(table).where(*conditions)
    total = (await connection.execute(counted)).scalar_one()
    page = select(table).where(*conditions).order_by(table.c.id.desc()).limit(limit).offset(offset)
    return DeadLetterPage((await connection.execute(page)).mappings().all(), total)


async def _find(
    connection: AsyncConnection, table: Table, words: str, row_id: int, only: Sequence[ColumnElement[bool]]
) -> RowMapping:
    found = await connection.execute(select(table).where(table.c.id == row_id, *only))
    row = found.mappings().one_or_none()
    if row is None:
        raise NoDeadLetterError(f"there is no {words} with the id {row_id}")
    return row
