"""The redrives that were asked for: taking them on, noting how far they are, and how they ended."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from sqlalchemy import ColumnElement, RowMapping, Table, case, null, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from weir_collectors.database import reading, translated
from weir_collectors.dead_letters import DeadLetter, LetterState
from weir_collectors.decoding import ReadEvent
from weir_collectors.handled import Decision
from weir_collectors.ranges import RangeState
from weir_collectors.records import insert_rows
from weir_collectors.scrubbing import ERASED_REASON, scrub_erased, scrub_letters
from weir_collectors.tables_dead_letters import dead_letter_ranges, dead_letters
from weir_core.clock import Clock
from weir_streams.notices import SpooledNotices

_LETTERS: Final = dead_letters.c
_RANGES: Final = dead_letter_ranges.c
_LEASE_US: Final = 60_000_000
_REQUESTED: Final = LetterState.REQUESTED.value
_FAILED: Final = "redrives wait until the database answers"


class RedriveDesk:
    """The database's side of redrives. What is taken on is this process's for a minute, or until it ends.

    Args:
        engine: From ``create_engine``; its owner disposes of it.
        me: Names this process, the same after a restart: it then goes on at once with what it had taken on.
        clock: For leases and the times of changes.
        notices: Told of dead letters once they are kept.

    Raises, all methods:
        DatabaseUnavailableError: Nothing was changed; the same call may succeed later.
    """

    def __init__(
        self, engine: AsyncEngine, me: str, clock: Clock, notices: SpooledNotices | None = None
    ) -> None:
        self._notices = notices
        self._engine = engine
        self._me = me
        self._clock = clock

    async def collectors(self) -> set[str]:
        """The slugs of the collectors that redrives are asked for."""
        slugs: set[str] = set()
        with translated(_FAILED):
            async with reading(self._engine) as connection:
                for table in (dead_letters, dead_letter_ranges):
                    asked = select(table.c.collector).where(table.c.state == _REQUESTED).distinct()
                    slugs.update((await connection.execute(asked)).scalars())
        return slugs

    async def take_letters(self, slug: str, most: int) -> Sequence[RowMapping]:
        """Take on some of a collector's dead letters, the oldest first."""
        return await self._take(dead_letters, slug, most)

    async def take_range(self, slug: str) -> RowMapping | None:
        """Take on a collector's oldest range."""
        return next(iter(await self._take(dead_letter_ranges, slug, 1)), None)

    async def finish_letters(self, outcomes: Sequence[tuple[RowMapping, Decision]]) -> None:
        """Note what became of dead letters."""
        async with self._changing() as connection:
            for row, decision in outcomes:
                change = self._outcome(row, decision)
                await connection.execute(update(dead_letters).where(_LETTERS.id == row["id"]).values(change))

    async def fail_letters(self, slug: str, why: Decision) -> None:
        """Give a collector's dead letters back, all that were asked for: trying more is no use now."""
        mine = (_LETTERS.collector == slug, _LETTERS.state == _REQUESTED)
        async with self._changing() as connection:
            change = update(dead_letters).where(*mine).values(_given_back(LetterState.FAILED, why))
            await connection.execute(change)

    async def advance_range(
        self, row: RowMapping, next_offset: int, redriven: int, letters: Sequence[DeadLetter]
    ) -> None:
        """Note that a range is redriven up to ``next_offset``, but for these dead letters."""
        async with self._changing() as connection:
            letters = await scrub_letters(connection, letters)
            await insert_rows(connection, dead_letters, [letter.row() for letter in letters])
            await self._change_range(
                connection,
                row,
                next_offset=next_offset,
                redriven=_RANGES.redriven + redriven,
                failed=_RANGES.failed + len(letters),
                claimed_until_us=self._clock.wall_us() + _LEASE_US,
            )
        if self._notices is not None:
            self._notices.write(letter.notice() for letter in letters)

    async def unerased(self, events: Sequence[ReadEvent]) -> Sequence[ReadEvent]:
        """The events as they may still be shown: the log has what was erased from the database."""
        with translated(_FAILED):
            async with reading(self._engine) as connection:
                return await scrub_erased(connection, events)

    async def finish_range(self, row: RowMapping) -> None:
        """Note that a range is done with; what it did not find is missing."""
        found = _RANGES.redriven + _RANGES.failed
        # How many events a replay has is known only now.
        events = case((_RANGES.events == 0, found), else_=_RANGES.events)
        # What came twice after a crash makes nothing else missing.
        missing = case((_RANGES.events > found, _RANGES.events - found), else_=0)
        async with self._changing() as connection:
            await self._change_range(
                connection,
                row,
                state=RangeState.REDRIVEN.value,
                events=events,
                missing=missing,
                redriven_at_us=self._clock.wall_us(),
                redrive_error=None,
                claimed_by=None,
                claimed_until_us=None,
            )

    async def stop_range(self, row: RowMapping, why: Decision) -> None:
        """Give a range back; what was done of it stays done."""
        async with self._changing() as connection:
            await self._change_range(connection, row, **_given_back(RangeState.CLOSED, why))

    async def _take(self, table: Table, slug: str, most: int) -> Sequence[RowMapping]:
        now_us = self._clock.wall_us()
        free = table.c.claimed_by.is_(None) | (table.c.claimed_by == self._me)
        free |= table.c.claimed_until_us < now_us
        wanted: Sequence[ColumnElement[bool]] = (
            table.c.collector == slug,
            table.c.state == _REQUESTED,
            free,
        )
        # On Postgres two processes that take on at the same time then get different ones. A common table
        # expression, because a subquery may be run, and lock, more than once.
        oldest = select(table.c.id).where(*wanted).order_by(table.c.id).limit(most)
        taken = oldest.with_for_update(skip_locked=True).cte("taken")
        claim = (
            update(table)
            .where(table.c.id.in_(select(taken.c.id)), *wanted)
            .values(claimed_by=self._me, claimed_until_us=now_us + _LEASE_US)
            .returning(*table.c)
        )
        async with self._changing() as connection:
            rows = (await connection.execute(claim)).mappings().all()
        return sorted(rows, key=lambda row: row["id"])

    def _outcome(self, row: RowMapping, decision: Decision) -> dict[str, Any]:
        if decision.error is not None:
            # Erased while its redrive was under way, it must not get words that quote the event again.
            erased = _LETTERS.reason == ERASED_REASON
            return {
                **_given_back(LetterState.FAILED, decision),
                "redrive_error": case((erased, null()), else_=decision.error),
                "redrive_error_unquoted": case((erased, null()), else_=decision.unquoted),
                "retryable": decision.retryable,
                "tries": row["tries"] + decision.tries,
            }
        return {
            "state": LetterState.REDRIVEN.value,
            "redriven_at_us": self._clock.wall_us(),
            "redrive_error": None,
            "claimed_by": None,
            "claimed_until_us": None,
        }

    async def _change_range(self, connection: AsyncConnection, row: RowMapping, **values: Any) -> None:
        await connection.execute(update(dead_letter_ranges).where(_RANGES.id == row["id"]).values(values))

    @asynccontextmanager
    async def _changing(self) -> AsyncIterator[AsyncConnection]:
        with translated(_FAILED):
            async with self._engine.begin() as connection:
                yield connection


def _given_back(state: LetterState | RangeState, why: Decision) -> dict[str, Any]:
    return {
        "state": state.value,
        "redrive_error": why.error,
        "redrive_error_unquoted": why.unquoted,
        "claimed_by": None,
        "claimed_until_us": None,
    }
