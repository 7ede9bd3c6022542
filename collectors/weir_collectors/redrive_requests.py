"""Asking for a redrive: a mark in the database that any process may set and the collectors process finds."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Table, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from weir_collectors.dead_letters import LetterState
from weir_collectors.errors import NoDeadLetterError
from weir_collectors.ranges import RangeState
from weir_collectors.tables_dead_letters import dead_letter_ranges, dead_letters

_LETTERS_WAITING: Final = dead_letters.c.state == LetterState.FAILED.value
_RANGES_WAITING: Final = dead_letter_ranges.c.state.in_((RangeState.OPEN.value, RangeState.CLOSED.value))


class Requested(NamedTuple):
    """How many dead letters, and how many ranges of them, were newly asked to be redriven."""

    letters: int
    ranges: int


async def request_letter(connection: AsyncConnection, letter_id: int, now_us: int) -> None:
    """Ask for one dead letter; nothing changes where that was done already, or it is redriven.

    Raises:
        NoDeadLetterError: There is none with this id.
    """
    if not await _request(connection, dead_letters, _LETTERS_WAITING, dead_letters.c.id == letter_id, now_us):
        await _must_exist(connection, dead_letters, letter_id, "dead letter")


async def request_range(connection: AsyncConnection, range_id: int, now_us: int) -> None:
    """Ask for one range, which grows no more from then on; as ``request_letter`` in everything else.

    Raises:
        NoDeadLetterError: There is none with this id.
    """
    wanted = dead_letter_ranges.c.id == range_id
    if not await _request(connection, dead_letter_ranges, _RANGES_WAITING, wanted, now_us):
        await _must_exist(connection, dead_letter_ranges, range_id, "range of dead letters")


async def request_collector(connection: AsyncConnection, slug: str, now_us: int) -> Requested:
    """Ask for everything that waits for a redrive to one collector."""
    letters = dead_letters.c.collector == slug
    ranges = dead_letter_ranges.c.collector == slug
    return Requested(
        await _request(connection, dead_letters, _LETTERS_WAITING, letters, now_us),
        await _request(connection, dead_letter_ranges, _RANGES_WAITING, ranges, now_us),
    )


async def _request(
    connection: AsyncConnection,
    table: Table,
    waiting: ColumnElement[bool],
    wanted: ColumnElement[bool],
    now_us: int,
) -> int:
    change: dict[str, Any] = {
        "state": LetterState.REQUESTED.value,
        "requested_at_us": now_us,
        "claimed_by": None,
        "claimed_until_us": None,
    }
    if table is dead_letter_ranges:
        # It grows no more.
        change["closed_at_us"] = func.coalesce(table.c.closed_at_us, now_us)
    return (await connection.execute(update(table).where(waiting, wanted).values(change))).rowcount


async def _must_exist(connection: AsyncConnection, table: Table, row_id: int, words: str) -> None:
    found = await connection.execute(select(table.c.id).where(table.c.id == row_id))
    if found.scalar_one_or_none() is None:
        raise NoDeadLetterError(f"there is no {words} with the id {row_id}")
