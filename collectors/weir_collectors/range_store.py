"""Writing ranges of dead letters as they grow."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import Update, case, insert, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from weir_collectors.database import translated
from weir_collectors.kinds import EventKind
from weir_collectors.ranges import RangeState, Run, Stretch
from weir_collectors.tables_dead_letters import dead_letter_ranges

_TABLE = dead_letter_ranges
_COLUMNS = dead_letter_ranges.c


class RangeStore:
    """The groups' way to the rows of their ranges.

    Args:
        engine: From ``create_engine``; its owner disposes of it.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def save(self, kind: EventKind, runs: Sequence[Run], now_us: int) -> None:
        """Bring the rows of the runs up to date, all in one transaction, durably.

        A range that somebody has asked to redrive meanwhile grows no more: what is unsaved becomes a new one.

        Raises:
            DatabaseUnavailableError: Nothing was written; the same call may succeed later.
        """
        if not runs:
            return
        rows = {}
        with translated(
            f"{len(runs)} ranges of {kind} dead letters could not be written to the database; their "
            "events stay in the log until it takes them"
        ):
            async with self._engine.begin() as connection:
                for run in runs:
                    rows[run] = await _save(connection, kind, run, now_us)
        for run, row_id in rows.items():
            run.row_id = row_id

    async def close_left(self, kind: EventKind, collectors: Collection[str], now_us: int) -> None:
        """Close what these collectors' groups left open when they last ended.

        Raises:
            DatabaseUnavailableError: Nothing was written; the same call may succeed later.
        """
        left = (
            update(_TABLE)
            .where(
                _COLUMNS.kind == kind.value,
                _COLUMNS.collector.in_(collectors),
                _COLUMNS.state == RangeState.OPEN.value,
            )
            .values(state=RangeState.CLOSED.value, closed_at_us=now_us)
        )
        with translated(f"open ranges of {kind} dead letters could not be closed"):
            async with self._engine.begin() as connection:
                await connection.execute(left)


async def _save(connection: AsyncConnection, kind: EventKind, run: Run, now_us: int) -> int | None:
    """Update the run's row, or make one; return its id."""
    row_id = run.row_id
    if row_id is not None:
        result = await connection.execute(_growth(row_id, run, now_us))
        if result.rowcount or run.unsaved is None:
            return row_id
    return None if run.unsaved is None else await _insert(connection, kind, run, run.unsaved, now_us)


def _growth(row_id: int, run: Run, now_us: int) -> Update:
    growth = update(_TABLE).where(_COLUMNS.id == row_id, _COLUMNS.state == RangeState.OPEN.value)
    more = run.unsaved
    if more is not None:
        first, last = _COLUMNS.first_timestamp_us, _COLUMNS.last_timestamp_us
        growth = growth.values(
            last_offset=more.last_offset,
            events=_COLUMNS.events + more.events,
            first_timestamp_us=case((first > more.first_timestamp_us, more.first_timestamp_us), else_=first),
            last_timestamp_us=case((last < more.last_timestamp_us, more.last_timestamp_us), else_=last),
        )
    if run.ended:
        growth = growth.values(state=RangeState.CLOSED.value, closed_at_us=now_us)
    return growth


async def _insert(
    connection: AsyncConnection, kind: EventKind, run: Run, stretch: Stretch, now_us: int
) -> int:
    row = insert(_TABLE).values(
        collector=run.collector,
        kind=kind.value,
        topic=run.partition.topic,
        partition=run.partition.name,
        **stretch._asdict(),
        reason=run.reason,
        reason_unquoted=run.unquoted,
        opened_at_us=now_us,
        closed_at_us=now_us if run.ended else None,
        next_offset=stretch.first_offset,
        redriven=0,
        failed=0,
        missing=0,
        state=(RangeState.CLOSED if run.ended else RangeState.OPEN).value,
    )
    row_id: int = (await connection.execute(row.returning(_COLUMNS.id))).scalar_one()
    return row_id
