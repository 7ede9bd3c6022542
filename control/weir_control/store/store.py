"""Reading the configuration, and changing it: one transaction, one revision, its rows in the outbox."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import structlog
from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from weir_collectors.database import reading, reason_of
from weir_control.errors import ConflictError, StoreUnavailableError
from weir_control.principal import Actor
from weir_control.store.journal import Journal
from weir_control.store.kinds import ObjectKind
from weir_control.store.tables import config_head, config_outbox
from weir_core.clock import Clock
from weir_core.secrets import KeyRing

_log = structlog.get_logger("weir.control")


class Change:
    """A transaction under way. Every object it touches gets its revision and stands in its journal."""

    __slots__ = ("connection", "journal", "now_us", "revision")

    def __init__(self, connection: AsyncConnection, journal: Journal, revision: int, now_us: int) -> None:
        self.connection = connection
        self.journal = journal
        self.revision = revision
        self.now_us = now_us

    async def touch(self, kind: ObjectKind, object_id: int) -> None:
        """Say that this object is to be published anew (or is gone)."""
        await self.connection.execute(
            insert(config_outbox).values(revision=self.revision, kind=kind, object_id=object_id)
        )


class Store:
    """The database of the management plane.

    Args:
        engine: Made by ``weir_collectors.database.create_engine`` over a migrated database.
        keyring: Seals what must not lie open: vendors' keys and plugin configuration.
        clock: For the times of changes.
    """

    def __init__(self, engine: AsyncEngine, keyring: KeyRing, clock: Clock) -> None:
        self.engine = engine
        self.keyring = keyring
        self.clock = clock
        self._listeners: list[Callable[[], None]] = []

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` after each commit; it must not block."""
        self._listeners.append(listener)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """One consistent state; never waits for a writer.

        Raises:
            StoreUnavailableError: The database does not answer.
        """
        with _translated():
            async with reading(self.engine) as connection:
                yield connection

    @asynccontextmanager
    async def changing(self, actor: Actor) -> AsyncIterator[Change]:
        """Commit all of it, with its entries in the audit log, or nothing when an exception leaves the block.

        Args:
            actor: Who makes the change.

        Raises:
            StoreUnavailableError: The database does not answer or is locked for too long.
            ConflictError: Another writer came between the block's checks and its writes.
        """
        with _translated():
            async with self.engine.begin() as connection:
                taken = update(config_head).values(revision=config_head.c.revision + 1)
                revision = (await connection.execute(taken.returning(config_head.c.revision))).scalar_one()
                change = Change(
                    connection, Journal(connection, self.keyring, actor), revision, self.clock.wall_us()
                )
                yield change
                await change.journal.write(revision, change.now_us)
        for listener in self._listeners:
            listener()

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A transaction about what is no part of the configuration; commits all of it or nothing.

        Raises:
            StoreUnavailableError: The database does not answer or is locked for too long.
        """
        with _translated():
            async with self.engine.begin() as connection:
                yield connection

    async def forget_published(self, revision: int) -> None:
        """Empty the outbox up to a revision that every reader of the feed can now see."""
        async with self.engine.begin() as connection:
            await connection.execute(delete(config_outbox).where(config_outbox.c.revision <= revision))

    async def move_past(self, revision: int) -> None:
        """Make the next revision larger than ``revision``.

        A database restored from a backup may be behind what proxies have already applied; they would
        ignore its changes.
        """
        async with self.engine.begin() as connection:
            await connection.execute(
                update(config_head).where(config_head.c.revision <= revision).values(revision=revision + 1)
            )


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except IntegrityError as error:
        raise ConflictError(
            "The change clashes with one made at the same time; read again and repeat it."
        ) from error
    # A Postgres that cannot be reached is an OSError, not yet the driver's.
    except (DBAPIError, PoolTimeoutError, OSError) as error:
        if isinstance(error, ProgrammingError):
            raise
        # Without the statement's parameters, which are other people's data.
        _log.error("the database did not answer", error=reason_of(error))
        raise StoreUnavailableError("The database does not answer now; try again shortly.") from error


async def newest_revision(connection: AsyncConnection) -> int:
    """The revision of the last committed change; 0 before the first."""
    revision: int = (await connection.execute(select(config_head.c.revision))).scalar_one()
    return revision
