"""Removing what is too old from the database, a little at a time, so that nobody waits for it.

It keeps no place of its own: what is too old is found by its age, so a sweep that was killed is simply
followed by the next.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy import Column, ColumnElement, Table, delete, select
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.typing import FilteringBoundLogger

from weir_collectors.database import reading, translated
from weir_collectors.days import DAY_US, OTHER_DAYS, Days, other_days
from weir_collectors.dead_letters import LetterState
from weir_collectors.ranges import RangeState
from weir_collectors.restarting import RestartSettings, keep_running, pause
from weir_collectors.tables import RECORDS, undecodable_events
from weir_collectors.tables_dead_letters import dead_letter_ranges, dead_letters
from weir_core.clock import Clock


class RetentionSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How long rows stay and how gently they go. The sums of the accountant always stay.

    A transaction that took longer than ``most_s`` makes the next one half as large, a much shorter one twice,
    from 1 row to ``most_rows``. ``pause_s`` is longer than a writer that waits for SQLite sleeps between two
    looks at its lock.
    """

    records_days: float = 90.0
    dead_letters_days: float = 14.0
    sweep_every_s: float = 600.0
    first_rows: int = 50
    most_rows: int = 1000
    most_s: float = 0.02
    pause_s: float = 0.12
    restart: RestartSettings = RestartSettings()


@dataclass(slots=True)
class RetentionStatus:
    """What was removed since the process started, in rows by table, and the longest transaction for it.

    ``days`` are partitions of record tables that were dropped whole, which only Postgres has.
    """

    removed: Counter[str] = field(default_factory=Counter)
    days: Counter[str] = field(default_factory=Counter)
    longest_s: float = 0.0
    last_error: str | None = None


@dataclass(frozen=True, slots=True)
class Aging:
    """A table whose rows go when ``moment``, in microseconds, is ``days`` ago and ``going`` holds."""

    table: Table
    moment: Column[Any]
    days: float
    going: Sequence[ColumnElement[bool]] = ()

    @property
    def name(self) -> str:
        """What the table is called whatever the database."""
        return self.table.name.removesuffix(OTHER_DAYS)


def _aging(settings: RetentionSettings, *, by_day: bool) -> tuple[Aging, ...]:
    records = settings.records_days
    letters = settings.dead_letters_days
    tables = [other_days(table) if by_day else table for table in RECORDS.values()]
    return (
        *(Aging(table, table.c.timestamp_us, records) for table in tables),
        Aging(undecodable_events, undecodable_events.c.failed_at_us, records),
        Aging(
            dead_letters,
            dead_letters.c.failed_at_us,
            letters,
            (dead_letters.c.state != LetterState.REQUESTED.value,),
        ),
        Aging(
            dead_letter_ranges,
            dead_letter_ranges.c.closed_at_us,
            letters,
            (dead_letter_ranges.c.state != RangeState.REQUESTED.value,),
        ),
        # Nobody redrives these: their collector is gone, or no process that would.
        Aging(
            dead_letters,
            dead_letters.c.requested_at_us,
            letters,
            (dead_letters.c.state == LetterState.REQUESTED.value,),
        ),
        Aging(
            dead_letter_ranges,
            dead_letter_ranges.c.requested_at_us,
            letters,
            (dead_letter_ranges.c.state == RangeState.REQUESTED.value,),
        ),
    )


class Pruner:
    """Removes what is too old, now and then.

    Args:
        engine: From ``create_engine``; its owner disposes of it after ``run`` has returned.
        also: Rows of tables that are not the collectors' own.
        sleep: Waits between two transactions.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        *,
        clock: Clock,
        logger: FilteringBoundLogger,
        settings: RetentionSettings,
        also: Sequence[Aging] = (),
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.status = RetentionStatus()
        self._engine = engine
        self._clock = clock
        self._logger = logger
        self._settings = settings
        self._sleep = sleep
        self._rows = settings.first_rows
        self._by_day = engine.dialect.name == "postgresql"
        self._all = (*_aging(settings, by_day=self._by_day), *also)

    async def run(self, stop: asyncio.Event) -> None:
        """Sweep until ``stop`` is set; a sweep under way ends with its transaction."""
        await keep_running(
            lambda: self._sweep_and_wait(stop),
            stop=stop,
            clock=self._clock,
            settings=self._settings.restart,
            failed=self._failed,
        )

    async def sweep(self, stop: asyncio.Event) -> Counter[str]:
        """Remove everything that is too old now; return how many rows of each table.

        On Postgres, records go by the day, when the whole of it is too old; rows are those of days without
        a partition. This makes the coming days' partitions, too.

        Raises:
            DatabaseUnavailableError: The database does not answer now; what was removed stays removed.
        """
        removed: Counter[str] = Counter()
        for aging in self._all:
            while not stop.is_set():
                count = await self._remove_some(aging)
                if not count:
                    break
                removed[aging.name] += count
                await self._sleep(self._settings.pause_s)
        if self._by_day:
            await self._turn_days()
        self.status.last_error = None
        return removed

    async def _sweep_and_wait(self, stop: asyncio.Event) -> None:
        removed = await self.sweep(stop)
        if removed:
            self._logger.info("pruned", **removed, longest_transaction_s=round(self.status.longest_s, 4))
        await pause(stop, self._settings.sweep_every_s)

    async def _turn_days(self) -> None:
        now_us = self._clock.wall_us()
        for table in RECORDS.values():
            days = Days(self._engine, table)
            with translated(f"the days of {table.name} could not be turned over; the next sweep tries again"):
                await days.make_ahead(now_us)
                dropped = await days.drop_before(now_us - int(self._settings.records_days * DAY_US))
            if dropped:
                self.status.days[table.name] += dropped
                self._logger.info("pruned days", table=table.name, days=dropped)

    async def _remove_some(self, aging: Aging) -> int:
        with translated(f"old rows of {aging.name} could not be removed; the next sweep tries again"):
            ids = await self._too_old(aging)
            return await self._remove(aging, ids) if ids else 0

    async def _too_old(self, aging: Aging) -> Sequence[int]:
        # In a transaction of its own that only reads: to look for rows may take long, and must lock nothing.
        wanted = select(aging.table.c.id).where(*self._conditions(aging))
        async with reading(self._engine) as connection:
            found = await connection.execute(wanted.order_by(aging.moment).limit(self._rows))
            return found.scalars().all()

    async def _remove(self, aging: Aging, ids: Sequence[int]) -> int:
        async with self._engine.begin() as connection:
            # From here on, others who want to write to SQLite wait.
            started = self._clock.monotonic()
            gone = await connection.execute(
                delete(aging.table).where(aging.table.c.id.in_(ids), *self._conditions(aging))
            )
        self._adapt(self._clock.monotonic() - started)
        self.status.removed[aging.name] += gone.rowcount
        return len(ids)

    def _conditions(self, aging: Aging) -> tuple[ColumnElement[bool], ...]:
        before_us = self._clock.wall_us() - int(aging.days * DAY_US)
        return (aging.moment < before_us, *aging.going)

    def _adapt(self, took_s: float) -> None:
        self.status.longest_s = max(self.status.longest_s, took_s)
        if took_s > self._settings.most_s:
            self._rows = max(1, self._rows // 2)
        elif took_s < self._settings.most_s / 4:
            self._rows = min(self._settings.most_rows, self._rows * 2)

    def _failed(self, error: Exception) -> None:
        self.status.last_error = f"{type(error).__name__}: {error}"
        self._logger.warning("pruning failed", error=str(error))
