"""Erasing an app's or a user's bodies and identifiers from what is stored, in one run that may be killed.

The list of erasures is written first: whatever is stored from then on is scrubbed on its way (``scrubbing``).
The run then goes over what was stored before, a few rows in each transaction, and notes with them how far it
is. Nothing is missed between the two, and to do a part again does no harm.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from weir_collectors.database import translated
from weir_collectors.erasing_stages import STAGES, Stage, Target
from weir_collectors.erasures import Scope, digest
from weir_collectors.tables_erasing import erasures
from weir_core.clock import Clock

_PAUSE_S: Final = 0.02
_COLUMNS: Final = erasures.c
_FAILED: Final = "erasing stopped where it is; give the same command again to go on"


@dataclass(frozen=True, slots=True)
class ErasureRun:
    """A run that has begun. ``resumed`` says that an earlier process began it."""

    id: int
    target: Target
    stage: int
    position: int | None
    resumed: bool


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a stage is: ``done`` of ``total`` steps, and how many rows it has changed in this process."""

    stage: str
    done: int
    total: int
    erased: int


class Eraser:
    """Erases one subject at a time; it may run while the gateway does, in any process.

    Args:
        engine: From ``create_engine``; on SQLite better with ``secure_delete``.
        clock: Says up to which moment events are erased.
        sleep: Lets other writers in between two transactions.
    """

    def __init__(
        self, engine: AsyncEngine, clock: Clock, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._sleep = sleep

    async def begin(self, scope: Scope, subject: str) -> ErasureRun:
        """Go on with a run for this app or user that did not finish, or begin one for all up to now.

        Raises:
            DatabaseUnavailableError: The database does not answer now; nothing has begun.
        """
        with translated(_FAILED):
            async with self._engine.begin() as connection:
                await _wait_for_writers(connection)
                run = await _unfinished(connection, scope, subject)
                return run or await _begin(connection, scope, subject, self._clock.wall_us())

    async def run(self, run: ErasureRun) -> AsyncGenerator[Progress, None]:
        """Do what is left of it, and say how far it is after each step.

        Raises:
            DatabaseUnavailableError: The database does not answer now; the next run goes on from here.
        """
        for number in range(run.stage, len(STAGES)):
            stage = STAGES[number](self._engine, run.target)
            position = run.position if number == run.stage else None
            with translated(_FAILED):
                async for progress in self._stage(run, number, stage, position):
                    yield progress
        with translated(_FAILED):
            await self._note(run, finished_at_us=self._clock.wall_us())

    async def _stage(
        self, run: ErasureRun, number: int, stage: Stage, position: int | None
    ) -> AsyncGenerator[Progress, None]:
        first, last = await stage.bounds()
        position = first if position is None else position
        total, erased = max(0, last - first), 0
        while position < last:
            step = await stage.find(position, last)
            for some in step.pieces():
                async with self._engine.begin() as connection:
                    changed = await stage.erase(connection, some)
                    await _count(connection, run, changed)
                erased += changed
                await self._sleep(_PAUSE_S)
            position = step.position
            await self._note(run, stage=number, position=position)
            yield Progress(stage.name, position - first, total, erased)
        await self._note(run, stage=number + 1, position=None)
        yield Progress(stage.name, total, total, erased)

    async def _note(self, run: ErasureRun, **values: int | None) -> None:
        async with self._engine.begin() as connection:
            await connection.execute(update(erasures).where(_COLUMNS.id == run.id).values(**values))


async def _wait_for_writers(connection: AsyncConnection) -> None:
    """Let those finish who have read the list of erasures without the row that is about to be added."""
    if connection.dialect.name == "postgresql":
        await connection.execute(text("LOCK TABLE erasures IN ACCESS EXCLUSIVE MODE"))


async def _unfinished(connection: AsyncConnection, scope: Scope, subject: str) -> ErasureRun | None:
    rows = await connection.execute(
        select(erasures).where(_COLUMNS.scope == scope.value, _COLUMNS.finished_at_us.is_(None))
    )
    for row in rows:
        if row.subject == _named(scope, subject, row.salt):
            target = Target(scope, subject, row.cutoff_us)
            return ErasureRun(row.id, target, row.stage, row.position, resumed=True)
    return None


async def _begin(connection: AsyncConnection, scope: Scope, subject: str, now_us: int) -> ErasureRun:
    salt = secrets.token_hex(16)
    row = insert(erasures).values(
        scope=scope.value,
        subject=_named(scope, subject, salt),
        salt=salt,
        cutoff_us=now_us,
        stage=0,
        position=None,
        erased=0,
    )
    run_id: int = (await connection.execute(row.returning(_COLUMNS.id))).scalar_one()
    return ErasureRun(run_id, Target(scope, subject, now_us), 0, None, resumed=False)


async def _count(connection: AsyncConnection, run: ErasureRun, changed: int) -> None:
    more: dict[str, ColumnElement[Any]] = {"erased": _COLUMNS.erased + changed}
    await connection.execute(update(erasures).where(_COLUMNS.id == run.id).values(**more))


def _named(scope: Scope, subject: str, salt: str) -> str:
    return digest(subject, salt) if scope is Scope.USER else subject
