"""Writing to the database: all of a batch or nothing, and never the same event twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

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
                new = await insert_rows(connection, RECORDS[kind], [_event_row(event) for event in events])
                await insert_rows(connection, dead_letters, [letter.row() for letter in letters])
                await insert_rows(
                    connection, undecodable_events, [_undecodable_row(item) for item in undecodable]
                )
        return new


def insert_new(table: Table, dialect: str) -> Insert:
    """An INSERT that skips rows whose unique key is taken and returns the ids of those it wrote."""
    if dialect == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing().returning(table.c.id)
    return sqlite.insert(table).on_conflict_do_nothing().returning(table.c.id)


async def insert_rows(connection: AsyncConnection, table: Table, rows: Sequence[Mapping[str, Any]]) -> int:
    """Write the rows whose unique keys are free; return how many those were."""
    if not rows:
        return 0
    if connection.dialect.name == "postgresql":
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        result = await connection.execute(_insert_columns(table, list(columns)), columns)
    else:
        result = await connection.execute(sqlite.insert(table).on_conflict_do_nothing(), rows)
    return result.rowcount


def _insert_columns(table: Table, names: Sequence[str]) -> Insert:
    """One statement for any number of rows: an array for each column, so that no text or plan grows."""
    arrays = [bindparam(name, type_=postgresql.ARRAY(table.c[name].type)) for name in names]
    new = func.unnest(*arrays).table_valued(*names).render_derived()
    return postgresql.insert(table).from_select(names, select(new)).on_conflict_do_nothing()


def _event_row(event: ReadEvent) -> dict[str, Any]:
    return {
        "event_id": event.event_id,
        "request_id": event.request_id,
        "timestamp_us": event.timestamp_us,
        "app_id": event.app_id,
        "llm_id": event.llm_id,
        "model": event.model,
        "status": event.status,
        "value": event.value,
    }


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
