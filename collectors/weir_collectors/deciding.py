"""One kind of event: from the log, past its collectors, into the database where nobody handled it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
from structlog.typing import FilteringBoundLogger

from weir_collectors.backoff import Backoff
from weir_collectors.collector import Collector
from weir_collectors.counters import Counters
from weir_collectors.dead_letters import DeadLetter
from weir_collectors.decoding import ReadEvent, read_event
from weir_collectors.errors import DatabaseUnavailableError, UnreadableEventError
from weir_collectors.handled import Decision, must_store
from weir_collectors.kinds import EventKind
from weir_collectors.records import RecordStore, UndecodableEvent
from weir_collectors.window import Window, WindowLimits
from weir_core.clock import Clock
from weir_streams.log import Consumer, LogRecord

_POLL_RECORDS: Final = 256
_POLL_S: Final = 0.2
_STORE_RECORDS: Final = 1024
_LAG_EVERY_S: Final = 1.0


class DecidingSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a deciding group works; the defaults are for production."""

    limits: WindowLimits = WindowLimits()
    database_backoff: Backoff = Backoff(first_s=0.1, longest_s=5.0)
    grace_s: float = 20.0
    """Seconds that calls under way may go on for when the worker stops."""


@dataclass(frozen=True, slots=True)
class _Decided:
    event: ReadEvent
    decisions: Sequence[Decision]

    @property
    def record(self) -> LogRecord:
        return self.event.record


class _StopDeciding(Exception):  # noqa: N818 - a signal, not an error
    """Ends a task group and abandons the tasks that are left; it has no other way to be told."""


class DecidingGroup:
    """One membership in a kind's deciding group, from joining to leaving.

    Delivery is at least once and the effect is once: an offset is committed only after what the database
    must keep of the events before it is durable there.

    Args:
        consumer: Reads the kind's topic in its group. The caller closes it.
        deciding: The collectors to ask now; called for each poll.
        sleep: Waits for the database, and between two looks at the lag.
    """

    def __init__(
        self,
        kind: EventKind,
        consumer: Consumer,
        *,
        deciding: Callable[[EventKind], Sequence[Collector]],
        store: RecordStore,
        counters: Counters,
        clock: Clock,
        logger: FilteringBoundLogger,
        settings: DecidingSettings,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._kind = kind
        self._consumer = consumer
        self._deciding = deciding
        self._store = store
        self._counters = counters
        self._clock = clock
        self._logger = logger
        self._settings = settings
        self._sleep = sleep
        self._window = Window(settings.limits)
        self._finished: asyncio.Queue[_Decided | UndecodableEvent] = asyncio.Queue()

    async def run(self, stop: asyncio.Event) -> None:
        """Decide until ``stop`` is set; then give what is in flight its grace and abandon the rest.

        What is abandoned was not committed and comes again.

        Raises:
            ExceptionGroup: The log failed, or there is a mistake here; the caller starts a new membership.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._settle())
                tasks.create_task(self._watch_lag())
                await self._take_in(stop, tasks)
                await self._finish_in_flight()
                raise _StopDeciding  # noqa: TRY301 - a task group is ended by raising inside it
        except* _StopDeciding:
            pass

    async def _take_in(self, stop: asyncio.Event, tasks: asyncio.TaskGroup) -> None:
        while not stop.is_set():
            room = self._window.room()
            if not room:
                await self._window.finished_some(_POLL_S)
                continue
            records = await self._consumer.poll(min(room, _POLL_RECORDS), _POLL_S)
            collectors = [collector for collector in self._deciding(self._kind) if collector.collects()]
            for record in records:
                self._window.admit(record)
                self._ask(record, collectors, tasks)

    def _ask(self, record: LogRecord, collectors: Sequence[Collector], tasks: asyncio.TaskGroup) -> None:
        try:
            event = read_event(record)
        except UnreadableEventError as error:
            self._finished.put_nowait(UndecodableEvent(record, str(error), self._clock.wall_us()))
            return
        asked = [collector for collector in collectors if collector.wants(event)]
        if asked:
            tasks.create_task(self._decide(event, asked))
        else:
            self._finished.put_nowait(_Decided(event, ()))

    async def _decide(self, event: ReadEvent, asked: Sequence[Collector]) -> None:
        if len(asked) == 1:
            # The common case; gathering one would cost it a second task.
            decisions = [await asked[0].decide(event)]
        else:
            decisions = await asyncio.gather(*(collector.decide(event) for collector in asked))
        self._finished.put_nowait(_Decided(event, decisions))

    async def _settle(self) -> None:
        while True:
            finished = [await self._finished.get()]
            while len(finished) < _STORE_RECORDS and not self._finished.empty():
                finished.append(self._finished.get_nowait())
            await self._keep(finished)
            offsets = self._window.finish(item.record for item in finished)
            if offsets:
                await self._consumer.commit(offsets)
            self._counters.kinds[self._kind].last_error = None
            for _ in finished:
                self._finished.task_done()

    async def _keep(self, finished: Sequence[_Decided | UndecodableEvent]) -> None:
        """Write what the database must have, waiting for it as long as it takes."""
        decided = [item for item in finished if isinstance(item, _Decided)]
        undecodable = [item for item in finished if isinstance(item, UndecodableEvent)]
        unhandled = [item.event for item in decided if must_store(item.decisions)]
        letters = [letter for item in decided for letter in self._letters(item)]
        attempt = 1
        while not await self._stored(attempt, unhandled, letters, undecodable):
            await self._sleep(self._settings.database_backoff.after(attempt))
            attempt += 1
        self._counters.kinds[self._kind].undecodable += len(undecodable)
        for item in decided:
            self._counters.count(self._kind, item.decisions, stored=must_store(item.decisions))

    async def _stored(
        self,
        attempt: int,
        unhandled: Sequence[ReadEvent],
        letters: Sequence[DeadLetter],
        undecodable: Sequence[UndecodableEvent],
    ) -> bool:
        try:
            await self._store.store(self._kind, unhandled, letters, undecodable)
        except DatabaseUnavailableError as error:
            self._counters.kinds[self._kind].last_error = str(error)
            self._logger.warning("database_unavailable", attempt=attempt, error=str(error))
            return False
        return True

    def _letters(self, decided: _Decided) -> list[DeadLetter]:
        return [
            DeadLetter(
                event=decided.event,
                collector=decision.collector,
                kind=self._kind,
                reason=decision.error,
                retryable=decision.retryable,
                tries=decision.tries,
                failed_at_us=self._clock.wall_us(),
            )
            for decision in decided.decisions
            if decision.error is not None
        ]

    async def _finish_in_flight(self) -> None:
        try:
            async with asyncio.timeout(self._settings.grace_s):
                while self._window.unfinished:
                    await self._window.finished_some()
                # The window is empty before the last offsets are committed; the queue is done after.
                await self._finished.join()
        except TimeoutError:
            self._logger.warning(
                "deciding_abandoned", events=self._window.unfinished, grace_s=self._settings.grace_s
            )

    async def _watch_lag(self) -> None:
        # Apart from the polling: counting a backlog for the first time may read all of it.
        while True:
            self._counters.kinds[self._kind].lag = sum((await self._consumer.lag()).values())
            await self._sleep(_LAG_EVERY_S)
