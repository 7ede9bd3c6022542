"""The relay: every event of every spool of a data directory into Kafka, in order, at least once."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from weir_core.clock import Clock
from weir_streams.backlog import Backlog, SpoolBacklog
from weir_streams.embedded import EmbeddedConsumer, EmbeddedLog
from weir_streams.errors import DeliveryError, RecordRefusedError, StreamsError
from weir_streams.kafka.aside import RefusedFile
from weir_streams.kafka.outgoing import Dispatch, Unsendable
from weir_streams.kafka.pace import Pace
from weir_streams.kafka.publisher import Batch, Publisher
from weir_streams.kafka.settings import RelaySettings
from weir_streams.kafka.stamps import Stamp
from weir_streams.log import LogRecord, Partition
from weir_streams.payloads import SPOOLED_TOPICS
from weir_streams.reports import Logger

RELAY_GROUP: Final = "weir.relay"

_IDLE_S: Final = 0.1
_POLL_RECORDS: Final = 4096
_FIRST_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 10.0
_MEASURE_EVERY_S: Final = 2.0


class RelayStatus(msgspec.Struct, kw_only=True):
    """What a relay has done since it was started, and what it has before it.

    ``connected`` says whether it has a producer that has not failed; ``last_error`` stays for whoever asks.
    ``events_restamped`` went with another time than their own, which Kafka had refused.
    ``bytes_aside`` is what stands in the file of refused events, whoever set it aside.
    ``backlog`` is what it has not delivered, looked at every few seconds whether or not Kafka is there.
    """

    connected: bool = False
    sent_events: int = 0
    sent_bytes: int = 0
    deliveries_failed: int = 0
    events_set_aside: int = 0
    events_restamped: int = 0
    bytes_aside: int = 0
    backlog: Backlog = Backlog()
    last_error: str = ""


@dataclass(frozen=True, slots=True)
class _Round:
    """What was read together: it is committed together, once all of it has arrived."""

    batches: Sequence[Batch]
    ends: dict[Partition, int]
    events: int
    restamped: int
    size: int


class Relay:
    """Reads the spools as the one member of a group of its own, for which their retention waits.

    Its progress is the end of what has been acknowledged without a hole. After any failed delivery it goes
    back there with a new producer: an idempotent producer that gave a batch up has a hole in its sequence.

    Args:
        root: The data directory.
        connect: Opens a producer.
        settings: Sizes and times.
        clock: Paces it.
        logger: Told of failures and, loudly, of events that were set aside.
        group: Names its progress.
        sleep: Waits after a failure.
    """

    def __init__(
        self,
        root: Path,
        *,
        connect: Callable[[], Awaitable[Publisher]],
        settings: RelaySettings,
        clock: Clock,
        logger: Logger,
        group: str = RELAY_GROUP,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.status = RelayStatus()
        self._root = root
        self._log = EmbeddedLog(root, clock=clock, logger=logger)
        self._connect = connect
        self._settings = settings
        self._clock = clock
        self._logger = logger
        self._group = group
        self._sleep = sleep
        self._pace = Pace(settings.bytes_per_s, clock, sleep)
        self._refused = RefusedFile(root, clock)
        self._dispatch = Dispatch(clock)
        self._failures = 0

    async def run(self, stop: asyncio.Event) -> int:
        """Relay until ``stop`` is set, then what is left, for as long as ``drain_s``.

        Returns:
            How many events are still in the spools; 0 when all have arrived.
        """
        relaying = asyncio.create_task(self._relay_until_drained(stop))
        stopping = asyncio.create_task(stop.wait())
        measuring = asyncio.create_task(self._measure_forever())
        try:
            await asyncio.wait((relaying, stopping), return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait((relaying,), timeout=self._settings.drain_s)
        finally:
            for task in (stopping, measuring, relaying):
                task.cancel()
            await asyncio.wait((measuring, relaying))
        if not relaying.cancelled():
            relaying.result()
            return 0
        return await self._count_left()

    async def _relay_until_drained(self, stop: asyncio.Event) -> None:
        while True:
            try:
                # Without anything to deliver there is no need to wait for brokers that are away.
                if stop.is_set() and self._failures and not await self._count_left():
                    return
                await self._relay(stop)
                return
            except RecordRefusedError as error:
                # The next try sends something else, so it need not wait.
                self._note_failure(error)
                continue
            except (StreamsError, OSError) as error:
                self._failures += 1
                self._note_failure(error)
            await self._pause(stop)

    async def _pause(self, stop: asyncio.Event) -> None:
        """Longer after each failure; short once it is to stop: there is only so long for what is left."""
        if stop.is_set():
            await self._sleep(_FIRST_PAUSE_S)
            return
        pause_s = min(_FIRST_PAUSE_S * 2 ** min(self._failures - 1, 10), _LONGEST_PAUSE_S)
        waits = [asyncio.ensure_future(wait) for wait in (self._sleep(pause_s), stop.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def _note_failure(self, error: Exception) -> None:
        self.status.deliveries_failed += 1
        self.status.last_error = str(error)
        self._logger.warning("relay goes back and sends again", reason=str(error))

    async def _relay(self, stop: asyncio.Event) -> None:
        """One producer's life."""
        async with self._session() as (consumer, publisher):
            progress = _Progress(consumer, self._settings.commit_s, self._clock)
            rounds: deque[_Round] = deque()
            while True:
                records = await self._read(consumer, waiting=not rounds) if self._has_room(rounds) else []
                if records:
                    rounds.append(await self._send(publisher, records))
                if rounds and not (records and self._has_room(rounds)):
                    await self._settle(rounds.popleft(), progress)
                elif not records:
                    await progress.store()
                    if stop.is_set():
                        return
                await progress.store_when_due()

    @contextlib.asynccontextmanager
    async def _session(self) -> AsyncIterator[tuple[EmbeddedConsumer, Publisher]]:
        consumer = await self._log.consumer(self._group, SPOOLED_TOPICS)
        try:
            publisher = await self._connect()
            self.status.connected = True
            try:
                yield consumer, publisher
            finally:
                self.status.connected = False
                await publisher.abandon()
        finally:
            await consumer.close()

    def _has_room(self, rounds: Sequence[_Round]) -> bool:
        return len(rounds) < self._settings.rounds

    async def _read(self, consumer: EmbeddedConsumer, *, waiting: bool) -> list[LogRecord]:
        records = list(await consumer.poll(_POLL_RECORDS, _IDLE_S if waiting else 0))
        size = sum(len(record.value) for record in records)
        while records and size < self._settings.round_bytes:
            more = await consumer.poll(_POLL_RECORDS, 0)
            if not more:
                break
            records += more
            size += sum(len(record.value) for record in more)
        return records

    async def _send(self, publisher: Publisher, records: Sequence[LogRecord]) -> _Round:
        outgoing, unsendable = self._dispatch.prepare(records)
        if unsendable:
            await self._set_aside(self._dispatch.not_aside(unsendable))
            outgoing += self._dispatch.results(unsendable)
        size = sum(len(record.value or b"") for record in outgoing)
        await self._pace.spend(size)
        batches = await publisher.send(outgoing)
        # Records come in order within a partition, so the last one's number stands.
        ends = {record.partition: record.offset + 1 for record in records}
        restamped = sum(record.stamp is not Stamp.OWN for record in outgoing)
        return _Round(batches, ends, len(outgoing), restamped, size)

    async def _settle(self, finished: _Round, progress: _Progress) -> None:
        refusal: RecordRefusedError | None = None
        for batch in finished.batches:
            try:
                await batch.acknowledged()
            except RecordRefusedError as error:
                self._dispatch.refused(batch, error)
                refusal = refusal or error
            except DeliveryError:
                # Behind a refused batch the others of its partition fail for the hole that it left.
                if refusal is None:
                    raise
        if refusal is not None:
            raise refusal
        self._failures = 0
        self.status.sent_events += finished.events
        self.status.sent_bytes += finished.size
        self.status.events_restamped += finished.restamped
        progress.reached(finished.ends)
        self._dispatch.forget(finished.ends)

    async def _set_aside(self, unsendable: Sequence[Unsendable]) -> None:
        if not unsendable:
            return
        await asyncio.to_thread(self._refused.append, unsendable)
        self._dispatch.set_aside(unsendable)
        self.status.events_set_aside += len(unsendable)
        self.status.bytes_aside = self._refused.size()
        for one in unsendable:
            self._logger.error(
                "event refused by Kafka and set aside",
                topic=one.record.partition.topic,
                spool_id=one.record.partition.name,
                seq=one.record.offset,
                reason=one.reason,
                file=str(self._refused.path),
                remedy="mend the reason, then weir events resend",
            )

    async def _measure_forever(self) -> None:
        backlog = SpoolBacklog(self._root, (self._group,))
        while True:
            with contextlib.suppress(OSError):
                self.status.backlog = await asyncio.to_thread(backlog.measure)
                self.status.bytes_aside = self._refused.size()
            await asyncio.sleep(_MEASURE_EVERY_S)

    async def _count_left(self) -> int:
        consumer = await self._log.consumer(self._group, SPOOLED_TOPICS)
        try:
            return sum((await consumer.lag()).values())
        finally:
            await consumer.close()


class _Progress:
    """How far everything has arrived, stored now and then."""

    def __init__(self, consumer: EmbeddedConsumer, every_s: float, clock: Clock) -> None:
        self._consumer = consumer
        self._every_s = every_s
        self._clock = clock
        self._ends: dict[Partition, int] = {}
        self._store_at = 0.0

    def reached(self, ends: dict[Partition, int]) -> None:
        self._ends |= ends

    async def store_when_due(self) -> None:
        if self._clock.monotonic() >= self._store_at:
            await self.store()

    async def store(self) -> None:
        if self._ends:
            ends, self._ends = self._ends, {}
            await self._consumer.commit(ends)
            self._store_at = self._clock.monotonic() + self._every_s
