"""A worker without collectors beside the bare client that inserts the same rows into the same tables.

The bare client has every row in memory. The worker reads the spool, finds in each event what it is filed
under, keeps account of it, and commits.
"""

from __future__ import annotations

import asyncio
import sqlite3
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

import asyncpg  # type: ignore[import-untyped]
from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.support.servers.postgres import PostgresServer

from bench.spooled import fill_spool, read_spool
from bench.turns import Comparison, Turn, timed
from bench.working import worker_turn
from weir_collectors.database import create_engine
from weir_collectors.decoding import read_event
from weir_collectors.kinds import EventKind
from weir_collectors.tables import RECORDS
from weir_control.migrations import upgrade
from weir_streams.log import LogRecord

_AT_ONCE: Final = 1024
_COLUMNS: Final = "event_id, request_id, timestamp_us, app_id, llm_id, model, status, value"

Rows: TypeAlias = Mapping[str, Sequence[tuple[Any, ...]]]
"""By table."""


def measure_postgres(work: Path, requests: int, rounds: int) -> Comparison:
    """Start a server, and let both write the events of so many calls, so often.

    Raises:
        ServerUnavailableError, ServerFailedError: There is no Postgres to write to.
    """
    server = PostgresServer()
    server.start()
    try:
        fill_spool(work / "data", requests)
        insert = partial(_insert_into_postgres, server.url())
        turns = asyncio.run(_turns(work / "data", server.url(), rounds, insert))
        return Comparison("worker to Postgres", *turns)
    finally:
        server.stop()


def measure_sqlite(work: Path, requests: int, rounds: int) -> Comparison:
    """The same for a database file."""
    fill_spool(work / "data", requests)
    file = work / "weir.db"
    turns = asyncio.run(
        _turns(work / "data", f"sqlite:///{file}", rounds, partial(_insert_into_sqlite, file))
    )
    return Comparison("worker to SQLite", *turns)


async def _turns(
    root: Path, url: str, rounds: int, insert: Callable[[Rows], Awaitable[None]]
) -> tuple[list[Turn], list[Turn]]:
    await upgrade(url)
    engine = create_engine(url)
    records = await read_spool(root)
    rows = {RECORDS[kind].name: [_row(record) for record in records[kind.topic]] for kind in EventKind}
    count = sum(map(len, rows.values()))
    bare, worker = [], []
    for turn in range(-1, rounds):
        # The first turns warm up, and make the days' partitions.
        measured = await _worker_turn(root, engine, count), await timed(count, insert(rows))
        await _empty(engine)
        if turn >= 0:
            worker.append(measured[0])
            bare.append(measured[1])
    await engine.dispose()
    return bare, worker


async def _worker_turn(root: Path, engine: AsyncEngine, count: int) -> Turn:
    turn = await worker_turn(
        root,
        engine,
        count,
        run=f"r{uuid.uuid4().hex}",
        done=lambda status: sum(kind.stored for kind in status.kinds),
    )
    await _empty(engine)
    return turn


async def _empty(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        for table in RECORDS.values():
            await connection.execute(delete(table))


async def _insert_into_postgres(url: str, rows: Rows) -> None:
    connection = await asyncpg.connect(url)
    for table, all_of_it in rows.items():
        statement = (
            f"INSERT INTO {table} ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING"
        )
        for start in range(0, len(all_of_it), _AT_ONCE):
            # One transaction, as asyncpg makes it.
            await connection.executemany(statement, all_of_it[start : start + _AT_ONCE])
    await connection.close()


async def _insert_into_sqlite(file: Path, rows: Rows) -> None:
    connection = sqlite3.connect(file)
    for table, all_of_it in rows.items():
        statement = f"INSERT INTO {table} ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
        for start in range(0, len(all_of_it), _AT_ONCE):
            connection.executemany(statement, all_of_it[start : start + _AT_ONCE])
            connection.commit()
    connection.close()


def _row(record: LogRecord) -> tuple[Any, ...]:
    event = read_event(record)
    return (
        event.event_id,
        event.request_id,
        event.timestamp_us,
        event.app_id,
        event.llm_id,
        event.model,
        event.status,
        event.value,
    )
