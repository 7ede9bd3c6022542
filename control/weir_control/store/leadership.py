"""Which of several control processes on one Postgres does what only one may do.

Who holds an advisory lock leads. The lock belongs to a connection of its own and ends with it, whether the
process ends, stops, or loses its network. A leader may believe in its lock for a moment longer than the
database does, so each new one takes the next number, its epoch: with it the database refuses what an earlier
leader notes, and whoever is written to beside the database can refuse what an earlier leader sends.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final, NamedTuple

import structlog
from sqlalchemy import TextClause, select, text, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from weir_control.errors import LeadershipLostError
from weir_control.store.tables import config_publication

_log = structlog.get_logger("weir.control")

_LOCK: Final = 0x57454952_4C454144
_SILENT_FOR_S: Final = 10.0
_COLUMNS: Final = config_publication.c
# An advisory lock of one number stands in two halves in the table of locks.
_HELD: Final = text(
    f"SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1 "  # noqa: S608
    f"AND classid = {_LOCK >> 32} AND objid = {_LOCK & 0xFFFFFFFF} "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


class Leading(NamedTuple):
    """Who led last, the how manieth leader that was, the newest revision that any has published, and whether
    anybody leads now."""

    leader: str
    epoch: int
    revision: int
    is_led: bool


class Leadership:
    """One process's part in it.

    Args:
        engine: Over a migrated Postgres; its owner disposes of it after ``resign``.
        me: Names this process in the log of the others.
        claim: Called with the epoch by a new leader before anything else, on its event loop; tells whoever
            is written to beside the database to take nothing from earlier leaders any more.
        silent_for_s: A leader that asks for nothing for so long, because it was stopped, leads no more.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        me: str,
        *,
        claim: Callable[[int], None] = lambda _epoch: None,
        silent_for_s: float = _SILENT_FOR_S,
    ) -> None:
        self._engine = engine
        self._me = me
        self._claim = claim
        self._silent_for_s = silent_for_s
        self._connection: AsyncConnection | None = None
        self._epoch: int | None = None

    @property
    def epoch(self) -> int | None:
        """That of this process's leadership; None while it does not lead, as far as it knows."""
        return self._epoch

    async def lead(self) -> int | None:
        """Stay or become the leader; return the epoch, or None while another leads. To be asked every second.

        Raises:
            SQLAlchemyError, OSError: The database does not answer; this process does not lead.
        """
        try:
            connection = self._connection or await self._connect()
            if self._epoch is None:
                return await self._apply(connection)
            await connection.execute(text("SELECT 1"))
        except (SQLAlchemyError, OSError):
            await self.resign()
            raise
        return self._epoch

    async def published(self) -> int:
        """The newest revision that any leader has published; -1 before the first."""
        async with self._engine.connect() as connection:
            revision: int = (await connection.execute(select(_COLUMNS.revision))).scalar_one()
            return revision

    @asynccontextmanager
    async def publishing(self, epoch: int, revision: int) -> AsyncIterator[None]:
        """Publish in this block: no new leader begins before it ends, or before this process is given up.

        Raises:
            LeadershipLostError: There is a newer leader, or a newer revision was published.
            SQLAlchemyError, OSError: The database does not answer; what was published is not noted.
        """
        noted = (
            update(config_publication)
            .where(_COLUMNS.epoch == epoch, _COLUMNS.revision <= revision)
            .values(revision=revision)
        )
        async with self._engine.begin() as connection:
            await connection.execute(self._give_up_when_silent("idle_in_transaction_session_timeout", "true"))
            if (await connection.execute(noted)).rowcount != 1:
                await self.resign()
                raise LeadershipLostError(
                    f"revision {revision} was not published: another control process leads since epoch "
                    f"{epoch}"
                )
            yield

    async def move_past(self, epoch: int) -> None:
        """Resign, and make the next leader's epoch larger than ``epoch``.

        A database restored from a backup may count behind what readers have heard of; they would heed no
        leader of it.

        Raises:
            SQLAlchemyError, OSError: The database does not answer.
        """
        await self.resign()
        async with self._engine.begin() as connection:
            await connection.execute(
                update(config_publication).where(_COLUMNS.epoch < epoch).values(epoch=epoch)
            )

    async def resign(self) -> None:
        """Let another lead. Also right for a process that does not."""
        connection, self._connection, self._epoch = self._connection, None, None
        if connection is not None:
            # Back in the pool, the session would keep the lock.
            with suppress(SQLAlchemyError, OSError):
                await connection.invalidate()
            await connection.close()

    async def _connect(self) -> AsyncConnection:
        self._connection = connection = await self._engine.connect()
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(self._give_up_when_silent("idle_session_timeout", "false"))
        return connection

    async def _apply(self, connection: AsyncConnection) -> int | None:
        taken = await connection.execute(text(f"SELECT pg_try_advisory_lock({_LOCK})"))
        if not taken.scalar_one():
            return None
        begun = update(config_publication).values(epoch=_COLUMNS.epoch + 1, leader=self._me)
        epoch: int = (await connection.execute(begun.returning(_COLUMNS.epoch))).scalar_one()
        self._claim(epoch)
        self._epoch = epoch
        _log.info("this control process leads", epoch=epoch, leader=self._me)
        return epoch

    def _give_up_when_silent(self, setting: str, is_local: str) -> TextClause:
        milliseconds = int(self._silent_for_s * 1000)
        return text(f"SELECT set_config('{setting}', '{milliseconds}', {is_local})")


async def leading_now(connection: AsyncConnection) -> Leading:
    """Look at the leadership of an installation on a Postgres without taking part in it."""
    columns = (_COLUMNS.leader, _COLUMNS.epoch, _COLUMNS.revision)
    leader, epoch, revision = (await connection.execute(select(*columns))).one()
    return Leading(leader, epoch, revision, is_led=(await connection.execute(_HELD)).scalar_one())
