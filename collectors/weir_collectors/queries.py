"""Reading records back, page by page."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Table, select, tuple_
from sqlalchemy.ext.asyncio import AsyncEngine

from weir_collectors.database import reading, translated
from weir_collectors.errors import InvalidPageError
from weir_collectors.kinds import EventKind
from weir_collectors.tables import RECORDS

MAX_PAGE: Final = 100
"""Records on one page, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordFilter:
    """Which records to read; None does not restrict. Times are microseconds since the Unix epoch.

    ``status`` and ``model`` match only kinds of event that carry them.
    """

    app_id: int | None = None
    llm_id: int | None = None
    model: str | None = None
    request_id: str | None = None
    status: int | None = None
    from_us: int | None = None
    """The first moment that is included."""
    to_us: int | None = None
    """The first moment that is not."""


@dataclass(frozen=True, slots=True)
class RecordPage:
    """Events as they were logged, newest first, and the cursor of the next page (None on the last)."""

    records: tuple[dict[str, Any], ...]
    next_cursor: str | None


def _all(_table: Table) -> Iterable[ColumnElement[bool]]:
    return ()


async def read_page(
    engine: AsyncEngine,
    kind: EventKind,
    wanted: RecordFilter,
    *,
    only: Callable[[Table], Iterable[ColumnElement[bool]]] = _all,
    cursor: str | None = None,
    limit: int = MAX_PAGE,
) -> RecordPage:
    """Read one page, newest first by (timestamp, id).

    A cursor names the last record read, not a distance from the top, so records that arrive meanwhile
    neither repeat nor hide others.

    Args:
        only: What must hold besides ``wanted`` of the rows of a table: which of them the reader may know of.

    Raises:
        InvalidPageError: The limit is not 1 to 100, the cursor is not one that a page gave, or a number is
            too large for the database to compare with.
        DatabaseUnavailableError: The database cannot be read now.
    """
    if not 1 <= limit <= MAX_PAGE:
        raise InvalidPageError(f"limit is {limit}; give 1 to {MAX_PAGE}", field="limit")
    table = RECORDS[kind]
    last_read = () if cursor is None else _decode_cursor(cursor)
    _refuse_beyond(wanted, last_read)
    conditions = [*_conditions(table, wanted), *only(table)]
    if last_read:
        conditions.append(tuple_(table.c.timestamp_us, table.c.id) < tuple_(*last_read))
    statement = (
        select(table.c.timestamp_us, table.c.id, table.c.value)
        .where(*conditions)
        .order_by(table.c.timestamp_us.desc(), table.c.id.desc())
        .limit(limit + 1)
    )
    with translated(f"{kind} records cannot be read now; try again"):
        async with reading(engine) as connection:
            rows = (await connection.execute(statement)).all()
    more = len(rows) > limit
    page = rows[:limit]
    return RecordPage(
        records=tuple(msgspec.json.decode(row.value) for row in page),
        next_cursor=_encode_cursor(page[-1].timestamp_us, page[-1].id) if more else None,
    )


def _refuse_beyond(wanted: RecordFilter, last_read: Iterable[int]) -> None:
    numbers = (wanted.app_id, wanted.llm_id, wanted.from_us, wanted.to_us, *last_read)
    # The columns of these have 64 bits, that of the status 32.
    too_large = any(not -(2**63) <= number < 2**63 for number in numbers if number is not None)
    if too_large or (wanted.status is not None and not -(2**31) <= wanted.status < 2**31):
        raise InvalidPageError("a number in the filter or the cursor is larger than any that is stored")


def _conditions(table: Table, wanted: RecordFilter) -> list[ColumnElement[bool]]:
    columns = table.c
    equal = {
        columns.app_id: wanted.app_id,
        columns.llm_id: wanted.llm_id,
        columns.model: wanted.model,
        columns.request_id: wanted.request_id,
        columns.status: wanted.status,
    }
    conditions: list[ColumnElement[bool]] = [
        column == value for column, value in equal.items() if value is not None
    ]
    if wanted.from_us is not None:
        conditions.append(columns.timestamp_us >= wanted.from_us)
    if wanted.to_us is not None:
        conditions.append(columns.timestamp_us < wanted.to_us)
    return conditions


def _encode_cursor(timestamp_us: int, row_id: int) -> str:
    return base64.urlsafe_b64encode(f"{timestamp_us}.{row_id}".encode()).decode()


def _decode_cursor(cursor: str) -> tuple[int, int]:
    try:
        timestamp_us, row_id = map(int, base64.urlsafe_b64decode(cursor.encode()).decode().split("."))
    except ValueError as error:
        raise InvalidPageError(
            "the cursor is not one that a page gave as next_cursor; start again without it", field="cursor"
        ) from error
    return timestamp_us, row_id
