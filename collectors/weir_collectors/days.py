"""On Postgres a record table has one partition for each day, so that a day goes at once and whole.

The day is that of the event's own timestamp (UTC). A unique key of a partitioned table must contain what it
is partitioned by, so there it is (event_id, timestamp_us). That is as good as the event id alone: the
timestamp is part of the event's value, which is written once and never again, so an event that comes a second
time meets its first row in the same partition. Events of days without a partition, older or newer than all,
go to the default partition, ``<table>_other``, under the same key.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import MetaData, Table, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

DAY_US: Final = 86_400_000_000
OTHER_DAYS: Final = "_other"
"""The end of a default partition's name."""

_AHEAD: Final = 7
# Requests that end after midnight have begun before it.
_BEHIND: Final = 1
_LOCK: Final = 0x57454952_44415953
# Whoever waits for a table's lock makes everybody behind it wait as well.
_LOCK_WITHIN: Final = "2s"


def other_days(table: Table) -> Table:
    """The default partition of a record table."""
    return table.to_metadata(MetaData(), name=table.name + OTHER_DAYS)


class Days:
    """The partitions of one record table. Several processes may see to them at the same time.

    Raises, all methods:
        SQLAlchemyError, OSError: The database does not answer, or somebody has used the table for longer
            than a writer may be kept waiting; nothing was changed then, and another attempt may succeed.
    """

    def __init__(self, engine: AsyncEngine, table: Table) -> None:
        self._engine = engine
        self._table = table.name

    async def make_ahead(self, now_us: int) -> int:
        """Make the days from yesterday to a week from now that are not there; return how many those were."""
        today = now_us // DAY_US
        present = set(await self._present())
        wanted = [day for day in range(today - _BEHIND, today + _AHEAD + 1) if day not in present]
        for day in wanted:
            await self._make(day)
        return len(wanted)

    async def drop_before(self, moment_us: int) -> int:
        """Drop the days that ended at this moment or before; return how many those were."""
        gone = [day for day in await self._present() if (day + 1) * DAY_US <= moment_us]
        for day in gone:
            async with self._engine.begin() as connection:
                await _alone(connection)
                await connection.execute(text(f"DROP TABLE IF EXISTS {self._name(day)}"))
        return len(gone)

    async def _present(self) -> list[int]:
        """Days since 1970 that have a partition, in order."""
        children = text(
            "SELECT child.relname FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid "
            "WHERE inhparent = to_regclass(:parent)"
        )
        async with self._engine.connect() as connection:
            names = (await connection.execute(children, {"parent": self._table})).scalars().all()
        return sorted(self._days_of(names))

    async def _make(self, day: int) -> None:
        """Make a day beside the table and then hang it in, which locks the table for others only briefly."""
        name, other = self._name(day), self._table + OTHER_DAYS
        start, end = day * DAY_US, (day + 1) * DAY_US
        its_events = f"timestamp_us >= {start} AND timestamp_us < {end}"
        async with self._engine.begin() as connection:
            await _alone(connection)
            if await _exists(connection, name):
                return
            for statement in (
                # A writer that has chosen the default partition would find its row refused there.
                f"LOCK TABLE {self._table} IN SHARE ROW EXCLUSIVE MODE",
                f"LOCK TABLE {other} IN ACCESS EXCLUSIVE MODE",
                f"CREATE TABLE {name} (LIKE {self._table} INCLUDING DEFAULTS)",
                f"WITH moved AS (DELETE FROM {other} WHERE {its_events} RETURNING *) "  # noqa: S608 - numbers
                f"INSERT INTO {name} SELECT * FROM moved",
                f"ALTER TABLE {self._table} ATTACH PARTITION {name} FOR VALUES FROM ({start}) TO ({end})",
            ):
                await connection.execute(text(statement))

    def _name(self, day: int) -> str:
        return f"{self._table}_{datetime.fromtimestamp(day * DAY_US // 1_000_000, UTC):%Y%m%d}"

    def _days_of(self, names: Iterable[str]) -> Iterator[int]:
        for name in names:
            date = name.removeprefix(f"{self._table}_")
            if date.isdecimal():
                moment = datetime.strptime(date, "%Y%m%d").replace(tzinfo=UTC)
                yield int(moment.timestamp()) * 1_000_000 // DAY_US


async def _alone(connection: AsyncConnection) -> None:
    await connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_WITHIN}'"))
    await connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))


async def _exists(connection: AsyncConnection, name: str) -> bool:
    found = await connection.execute(text("SELECT to_regclass(:name)"), {"name": name})
    return found.scalar_one() is not None
