"""The accountant's place in the database: sums, offsets and marks, all of a batch in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Table, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from weir_collectors.database import reading, translated
from weir_collectors.erasures import NOBODY_ERASED, erasures_since
from weir_collectors.errors import StaleMarksError
from weir_collectors.tables_accounting import (
    SPEND_SUMS,
    SUMS,
    accountant_marks,
    accountant_members,
    accountant_offsets,
    budget_spend,
    rollups_hourly,
)
from weir_collectors.tally import add_up
from weir_streams.billed import Batch, Mark
from weir_streams.log import Partition

_SILENT_AFTER_US: Final = 60_000_000


@dataclass(frozen=True, slots=True)
class Place:
    """How far the sums have come in the log; ``as_of_us`` as in ``signed_as_of``."""

    offsets: Mapping[Partition, int]
    marks: Mapping[Mark, int]
    as_of_us: int | None


class Book:
    """Where the accountant writes.

    Args:
        engine: From ``create_engine``; its owner disposes of it.
        member: The process's name; other accountants have others.
    """

    def __init__(self, engine: AsyncEngine, member: str) -> None:
        self._engine = engine
        self._member = member

    async def place(self) -> Place:
        """Read how far the sums have come.

        Raises:
            DatabaseUnavailableError: The database does not answer now.
        """
        with translated("the accountant's place cannot be read now"):
            async with reading(self._engine) as connection:
                offsets = await connection.execute(select(accountant_offsets))
                marks = await connection.execute(select(accountant_marks))
                return Place(
                    {Partition(row.topic, row.partition): row.next_offset for row in offsets},
                    {Mark(Partition(row.topic, row.partition), row.spool_id): row.spool_seq for row in marks},
                    await signed_as_of(connection),
                )

    async def add(self, batch: Batch, as_of_us: int | None, now_us: int) -> None:
        """Add a batch to the sums and move on, durably, or do neither.

        Args:
            batch: Made with the marks of ``place``, moved by what was added since.
            as_of_us: The moment up to which everything logged is in the sums after this; None when there
                is more.
            now_us: When this is, for readers of ``as_of_us``.

        Raises:
            StaleMarksError: The marks were not what the batch was made with; nothing was added.
            DatabaseUnavailableError: Whether it was added is not known; ``place`` says it.
        """
        tally = add_up(batch.events, NOBODY_ERASED)
        with translated(
            f"{len(batch.events)} events could not be added up; they stay in the log until the "
            "database takes them"
        ):
            async with self._engine.begin() as connection:
                await _move_marks(connection, batch)
                erased = await erasures_since(connection, [event.timestamp_us for event in batch.events])
                if erased:
                    tally = add_up(batch.events, erased)
                await add_sums(connection, rollups_hourly, SUMS, tally.rollups)
                await add_sums(connection, budget_spend, SPEND_SUMS, tally.spend)
                await _move_offsets(connection, batch)
                if as_of_us is not None:
                    await self._sign(connection, as_of_us, now_us)

    async def _sign(self, connection: AsyncConnection, as_of_us: int, now_us: int) -> None:
        row = {"member": self._member, "as_of_us": as_of_us, "seen_us": now_us}
        insert = _insert(accountant_members, connection)
        await connection.execute(
            insert.on_conflict_do_update(
                index_elements=["member"],
                set_={"as_of_us": insert.excluded.as_of_us, "seen_us": insert.excluded.seen_us},
            ),
            row,
        )


async def add_sums(
    connection: AsyncConnection,
    table: Table,
    sums: Sequence[str],
    rows: Mapping[Any, Sequence[int]],
) -> None:
    """Add to the rows of a table of sums, making those that are not there.

    Args:
        connection: In a transaction.
        table: Its primary key has the columns of the keys, in their order.
        sums: The columns that are added to, in the order of the values.
        rows: By key, what to add.
    """
    if not rows:
        return
    keys = [column.name for column in table.primary_key]
    insert = _insert(table, connection)
    statement = insert.on_conflict_do_update(
        index_elements=keys, set_={name: table.c[name] + insert.excluded[name] for name in sums}
    )
    names = (*keys, *sums)
    # In the order of the keys, as the marks are.
    await connection.execute(
        statement, [dict(zip(names, (*key, *rows[key]), strict=True)) for key in sorted(rows)]
    )


async def _move_marks(connection: AsyncConnection, batch: Batch) -> None:
    """Move each mark from where the batch was told that it stands. This is what makes adding happen once."""
    # In one order for all, so that two accountants on Postgres never wait for each other's rows.
    for mark, number in sorted(batch.marks.items()):
        known = batch.known(mark)
        if known is None:
            await _begin_mark(connection, mark, number)
            continue
        columns = accountant_marks.c
        moved = await connection.execute(
            update(accountant_marks)
            .where(
                columns.topic == mark.partition.topic,
                columns.partition == mark.partition.name,
                columns.spool_id == mark.spool_id,
                columns.spool_seq == known,
            )
            .values(spool_seq=number)
        )
        if moved.rowcount != 1:
            raise StaleMarksError(_stale(mark))


async def _begin_mark(connection: AsyncConnection, mark: Mark, number: int) -> None:
    values = {
        "topic": mark.partition.topic,
        "partition": mark.partition.name,
        "spool_id": mark.spool_id,
        "spool_seq": number,
    }
    try:
        await connection.execute(accountant_marks.insert().values(values))
    except IntegrityError as error:
        raise StaleMarksError(_stale(mark)) from error


def _stale(mark: Mark) -> str:
    return (
        f"the mark of spool {mark.spool_id or 'none'} in {mark.partition.topic}/{mark.partition.name} was "
        "moved by another accountant; the batch is made again"
    )


async def _move_offsets(connection: AsyncConnection, batch: Batch) -> None:
    if not batch.offsets:
        return
    insert = _insert(accountant_offsets, connection)
    statement = insert.on_conflict_do_update(
        index_elements=["topic", "partition"],
        set_={
            "next_offset": insert.excluded.next_offset,
            "undecodable": accountant_offsets.c.undecodable + insert.excluded.undecodable,
        },
    )
    rows = [
        {
            "topic": partition.topic,
            "partition": partition.name,
            "next_offset": offset,
            "undecodable": batch.undecodable[partition],
        }
        for partition, offset in sorted(batch.offsets.items())
    ]
    await connection.execute(statement, rows)


def _insert(table: Table, connection: AsyncConnection) -> sqlite.Insert | postgresql.Insert:
    """The dialect's own INSERT, which knows ON CONFLICT."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)


async def signed_as_of(connection: AsyncConnection) -> int | None:
    """Up to which moment all accountants together have everything that was logged; None before the first.

    It is that of the slowest. One that has been silent while another was not is gone.
    """
    columns = accountant_members.c
    newest = select(func.max(columns.seen_us)).scalar_subquery()
    found = await connection.execute(
        select(func.min(columns.as_of_us)).where(columns.seen_us >= newest - _SILENT_AFTER_US)
    )
    as_of_us: int | None = found.scalar_one()
    return as_of_us
