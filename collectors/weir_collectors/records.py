"""Writing to the database: all of a batch or nothing, and never the same event twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final

from sqlalchemy import Insert, Table, bindparam, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from weir_collectors.database import translated
from weir_collectors.dead_letters import DeadLetter
from weir_collectors.decoding import ReadEvent
from weir_collectors.kinds import EventKind
from weir_collectors.scrubbing import scrub_erased, scrub_letters
from weir_collectors.tables import RECORDS, undecodable_events
from weir_collectors.tables_dead_letters import dead_letters
from weir_streams.log import LogRecord
from weir_streams.notices import SpooledNotices

_COLUMNS: Final = tuple(column.name for column in RECORDS[EventKind.PROXY_LOG].columns if column.name != "id")
_row: Final = attrgetter(*_COLUMNS)
"""An event as its record: what they are called is the same."""


@dataclass(frozen=True, slots=True)
class UndecodableEvent:
    """A log record that is not an event, kept as it came."""

    record: LogRecord
    error: str
    failed_at_us: int


class RecordStore:
    """The deciding groups' way into the database.

    Args:
        engine: From ``create_engine``; its owner disposes of it.
        notices: Told of dead letters once they are kept, and before their offsets are committed: a process
            that is killed in between keeps them, and tells of them, once more.
    """

    def __init__(self, engine: AsyncEngine, notices: SpooledNotices | None = None) -> None:
        self._engine = engine
        self._notices = notices

    async def store(
        self,
        kind: EventKind,
        events: Sequence[ReadEvent],
        letters: Sequence[DeadLetter] = (),
        undecodable: Sequence[UndecodableEvent] = (),
    ) -> int:
        """Write everything in one transaction, durably, and return how many events were new.

        What is there already (same event id; same event and collector; same place in the log) stays as it
        is, so that a batch may come any number of times. Events of the erased are written without what
        was to be erased.

        Raises:
            DatabaseUnavailableError: Nothing was written; the same call may succeed later.
        """
        if not (events or letters or undecodable):
            return 0
        with translated(
            f"{len(events)} {kind} events could not be written to the database; they stay in the log "
            "until it takes them"
        ):
            async with self._engine.begin() as connection:
                events = await scrub_erased(connection, events)
                letters = await scrub_letters(connection, letters)
                new = await _insert(connection, RECORDS[kind], _COLUMNS, [_row(event) for event in events])
                await insert_rows(connection, dead_letters, [letter.row() for letter in letters])
                await insert_rows(
                    connection, undecodable_events, [_undecodable_row(item) for item in undecodable]
                )
        if self._notices is not None:
            self._notices.write(letter.notice() for letter in letters)
        return new


def insert_new(table: Table, dialect: str) -> Insert:
    """An INSERT that skips rows whose unique key is taken and returns the ids of those it wrote."""
    if dialect == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing().returning(table.c.id)
    return sqlite.insert(table).on_conflict_do_nothing().returning(table.c.id)


async def insert_rows(connection: AsyncConnection, table: Table, rows: Sequence[Mapping[str, Any]]) -> int:
    """Write the rows whose unique keys are free; return how many those were."""
    names = tuple(rows[0]) if rows else ()
    return await _insert(connection, table, names, [tuple([row[name] for name in names]) for row in rows])


async def _insert(
    connection: AsyncConnection, table: Table, names: tuple[str, ...], rows: Sequence[tuple[Any, ...]]
) -> int:
    if not rows:
        return 0
    if connection.dialect.name == "postgresql":
        columns = {name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}
        result = await connection.execute(_insert_columns(table, names), columns)
    else:
        # Straight to the driver: SQLAlchemy takes longer over a row than SQLite does.
        result = await connection.exec_driver_sql(_insert_values(table, names), list(rows))
    return result.rowcount


@lru_cache(maxsize=32)
def _insert_columns(table: Table, names: tuple[str, ...]) -> Insert:
    """One statement for any number of rows: an array for each column, so that no text or plan grows."""
    arrays = [bindparam(name, type_=postgresql.ARRAY(table.c[name].type)) for name in names]
    new = func.unnest(*arrays).table_valued(*names).render_derived()
    return postgresql.insert(table).from_select(names, select(new)).on_conflict_do_nothing()


@lru_cache(maxsize=32)
def _insert_values(table: Table, names: tuple[str, ...]) -> str:
    statement = sqlite.insert(table).on_conflict_do_nothing()
    return str(statement.compile(dialect=sqlite.dialect(), column_keys=list(names)))


def _undecodable_row(event: UndecodableEvent) -> dict[str, Any]:
    return {
        "topic": event.record.partition.topic,
        "partition": event.record.partition.name,
        "offset": event.record.offset,
        "key": event.record.key,
        "value": event.record.value,
        "error": event.error,
        "failed_at_us": event.failed_at_us,
    }
