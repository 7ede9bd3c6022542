"""The accountant: every analytics and budget event, whoever handled it, once into the sums.

The log delivers at least once, so what makes it once is in the database: sums, offsets and marks move in one
transaction, and a mark moves only from where this accountant knows it to stand.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence, Set
from dataclasses import dataclass
from typing import Final

import msgspec
from structlog.typing import FilteringBoundLogger

from weir_collectors.backoff import Backoff
from weir_collectors.book import Book
from weir_collectors.joining import membership
from weir_collectors.kinds import ACCOUNTANT_GROUP
from weir_collectors.lateness import LateWatch
from weir_collectors.restarting import RestartSettings, keep_running
from weir_core.clock import Clock
from weir_core.errors import WeirError
from weir_streams.billed import BILLED_TOPICS, Batch, Mark
from weir_streams.log import Consumer, EventLog, LogRecord, Partition

# A spool or a segment that is new is looked for a few times a second only.
_UNSEEN_US: Final = 200_000
_POLL_S: Final = 0.25


class AccountantSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the accountant works; the defaults are for production.

    ``batch`` bounds the events of one transaction, and so how long it keeps other writers of SQLite waiting.
    """

    batch: int = 1000
    gather_s: float = 0.25
    commit_every_s: float = 1.0
    """How often the log is told how far the sums are. It only lets retention go on: the database knows."""
    sign_every_s: float = 5.0
    """How often a quiet accountant says that it is up to date."""
    lag_every_s: float = 1.0
    retention_s: float | None = None
    """For how long the log keeps what is added up; None: until it is read."""
    restart: RestartSettings = RestartSettings(backoff=Backoff(first_s=0.2, longest_s=5.0))


@dataclass(slots=True)
class AccountantStatus:
    """What the accountant has done since its process started. ``lag`` counts records not in the sums;
    None before the first count.

    The sums hold everything that was logged up to ``as_of_us``. ``lag_s`` is how long ago that is, and
    ``late`` says that the log may soon lose what is not in them.
    """

    lag: int | None = None
    lag_s: float = 0.0
    late: bool = False
    added: int = 0
    repeated: int = 0
    undecodable: int = 0
    restarts: int = 0
    as_of_us: int | None = None
    last_error: str | None = None


class Accountant:
    """Adds up until it is told to stop; waits for a log or a database that is away.

    The caller owns ``log`` and the book's engine, and closes them after ``run`` has returned.
    """

    def __init__(
        self,
        log: EventLog,
        book: Book,
        *,
        clock: Clock,
        logger: FilteringBoundLogger,
        settings: AccountantSettings | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.status = AccountantStatus()
        self._log = log
        self._book = book
        self._clock = clock
        self._logger = logger
        self._settings = settings or AccountantSettings()
        self._sleep = sleep
        self._began_us = clock.wall_us()
        self._lateness = LateWatch(self.status, retention_s=self._settings.retention_s, logger=logger)

    async def run(self, stop: asyncio.Event) -> None:
        """Add up until ``stop`` is set. What was taken and not added comes again."""
        await keep_running(
            lambda: self._account(stop),
            stop=stop,
            clock=self._clock,
            settings=self._settings.restart,
            failed=self._failed,
        )

    async def _account(self, stop: asyncio.Event) -> None:
        """One membership, from where the database says that the sums are."""
        place = await self._book.place()
        if self.status.as_of_us is None:
            self.status.as_of_us = place.as_of_us
        joining = membership(self._log, ACCOUNTANT_GROUP, BILLED_TOPICS, stop, start=place.offsets)
        async with joining as consumer:
            if consumer is not None:
                await self._account_for(consumer, stop)

    async def _account_for(self, consumer: Consumer, stop: asyncio.Event) -> None:
        watching = asyncio.create_task(self._watch_lag(consumer))
        try:
            reading = _Reading(consumer, self._book)
            told = _Told(consumer, self._clock, self._settings.commit_every_s)
            while not stop.is_set():
                batch = Batch(reading.marks)
                as_of_us = await self._gather(reading, batch)
                if batch.size or self._sign_is_due():
                    await self._book.add(batch, as_of_us, self._clock.wall_us())
                    reading.marks |= batch.marks
                    self._count(batch, as_of_us)
                self._watch_age()
                await told.tell(batch.offsets)
            await told.tell({}, now=True)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def _gather(self, reading: _Reading, batch: Batch) -> int | None:
        """Fill the batch; return the moment up to which the log is in it, None when there may be more."""
        until: float | None = None
        while batch.size < self._settings.batch:
            asked_us = self._clock.wall_us()
            wait_s = _POLL_S if until is None else max(0.0, until - self._clock.monotonic())
            records = await reading.poll(self._settings.batch - batch.size, wait_s, begun=batch.size > 0)
            if records is None:
                return None
            if not records:
                return asked_us - _UNSEEN_US
            for record in records:
                batch.take(record)
            if until is None:
                until = self._clock.monotonic() + self._settings.gather_s
        return None

    async def _watch_lag(self, consumer: Consumer) -> None:
        # Apart from the adding: counting a backlog for the first time reads all of it.
        while True:
            try:
                self.status.lag = sum((await consumer.lag()).values())
            except WeirError as error:
                self._logger.warning("accountant lag unknown", error=str(error))
            await self._sleep(self._settings.lag_every_s)

    def _watch_age(self) -> None:
        # Not together with the lag: while the database is away, nobody counts that.
        as_of_us = self.status.as_of_us or self._began_us
        self._lateness.watch(max(0, self._clock.wall_us() - as_of_us) / 1_000_000)

    def _sign_is_due(self) -> bool:
        signed_us = self.status.as_of_us
        return signed_us is None or (
            self._clock.wall_us() - signed_us >= self._settings.sign_every_s * 1_000_000
        )

    def _count(self, batch: Batch, as_of_us: int | None) -> None:
        status = self.status
        status.added += len(batch.events)
        status.repeated += batch.repeated
        undecodable = batch.undecodable.total()
        status.undecodable += undecodable
        status.last_error = None
        if as_of_us is not None:
            status.as_of_us = as_of_us
        if undecodable:
            self._logger.error("undecodable events not added", events=undecodable)

    def _failed(self, error: Exception) -> None:
        self.status.restarts += 1
        self.status.last_error = f"{type(error).__name__}: {error}"
        self._watch_age()
        self._logger.warning("accounting failed", error=str(error), exc_info=not isinstance(error, WeirError))


class _Reading:
    """One membership's records, and the marks by which repeated ones are known.

    Another accountant may have moved the marks of a partition before this one was given it, so they are read
    when its first record is here.
    """

    def __init__(self, consumer: Consumer, book: Book) -> None:
        self.marks: dict[Mark, int] = {}
        self._consumer = consumer
        self._book = book
        self._known: set[Partition] = set()
        self._left: Sequence[LogRecord] = ()

    async def poll(self, most: int, wait_s: float, *, begun: bool) -> Sequence[LogRecord] | None:
        """As ``Consumer.poll``; None when the records need marks that a ``begun`` batch was not made with."""
        records, self._left = self._left or await self._consumer.poll(most, wait_s), ()
        self._known -= set(self._consumer.lost())
        unknown = {record.partition for record in records} - self._known
        if unknown and begun:
            self._left = records
            return None
        if unknown:
            await self._learn(unknown)
        return records

    async def _learn(self, partitions: Set[Partition]) -> None:
        place = await self._book.place()
        for mark in [mark for mark in self.marks if mark.partition in partitions]:
            del self.marks[mark]
        self.marks |= {mark: number for mark, number in place.marks.items() if mark.partition in partitions}
        self._known |= partitions


class _Told:
    """What the log knows of the sums' progress: behind, so that it costs one write a second."""

    def __init__(self, consumer: Consumer, clock: Clock, every_s: float) -> None:
        self._consumer = consumer
        self._clock = clock
        self._every_s = every_s
        self._offsets: dict[Partition, int] = {}
        self._next = clock.monotonic()

    async def tell(self, offsets: dict[Partition, int], *, now: bool = False) -> None:
        self._offsets |= offsets
        if not self._offsets or not (now or self._clock.monotonic() >= self._next):
            return
        await self._consumer.commit(self._offsets)
        self._offsets = {}
        self._next = self._clock.monotonic() + self._every_s
