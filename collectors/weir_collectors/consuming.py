"""One membership in a consumer group: from the log, past its collectors, to what is kept of each event."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Final, Protocol

import msgspec
from structlog.typing import FilteringBoundLogger

from weir_collectors.asking import Asking, Decided, Finished
from weir_collectors.backoff import Backoff
from weir_collectors.collector import Collector
from weir_collectors.counters import GroupCounters
from weir_collectors.decoding import read_event
from weir_collectors.errors import DatabaseUnavailableError, UnreadableEventError
from weir_collectors.lateness import LateWatch
from weir_collectors.ranges import RangeTracker, Run
from weir_collectors.stalling import StallWatch
from weir_collectors.window import Window, WindowLimits
from weir_core.clock import Clock
from weir_streams.errors import LogUnavailableError
from weir_streams.log import Consumer

_POLL_RECORDS: Final = 256
_POLL_S: Final = 0.2
_STORE_RECORDS: Final = 1024


class GroupSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a group works; the defaults are for production."""

    limits: WindowLimits = WindowLimits()
    database_backoff: Backoff = Backoff(first_s=0.1, longest_s=5.0)
    grace_s: float = 20.0
    """Seconds that calls under way may go on for when the worker stops."""
    lag_every_s: float = 1.0
    stuck_after_s: float = 120.0
    """Seconds that a group may have lag and commit nothing before it counts as stuck."""
    retention_s: Mapping[str, float] = {}
    """By topic, for how many seconds the log keeps events; a topic that is not named keeps them."""


class Keeper(Protocol):
    """What a group leaves in the database. Each call is one transaction, and may come again with the same."""

    async def tidy(self, slugs: Sequence[str]) -> None:
        """Close the ranges that an earlier membership left open for these collectors; raises as ``keep``."""
        ...

    async def keep(self, finished: Sequence[Finished]) -> None:
        """Write what must be kept of these events.

        Raises:
            DatabaseUnavailableError: Nothing was written; the same call may succeed later.
        """
        ...

    async def save_ranges(self, runs: Sequence[Run]) -> None:
        """Write the ranges that collectors were not asked about; raises as ``keep``."""
        ...


class _StopConsuming(Exception):  # noqa: N818 - a signal, not an error
    """Ends a task group and abandons the tasks that are left; it has no other way to be told."""


class ConsumingGroup:
    """One membership, from joining to leaving.

    Delivery is at least once and the effect is once: an offset is committed only after what the database
    must keep of the events before it is durable there.

    Args:
        consumer: Reads the group's topic. The caller closes it.
        topic: That topic.
        collectors: Those to ask now; called for each poll.
        keeper: Writes what the group keeps.
        on_lag: Told the lag, in records, whenever it was counted.
        waits_for_collectors: Whether to let no event past while there is nobody to ask.
        sleep: Waits for the database, and between two looks at the lag.
    """

    def __init__(
        self,
        consumer: Consumer,
        *,
        topic: str,
        collectors: Callable[[], Sequence[Collector]],
        keeper: Keeper,
        counters: GroupCounters,
        clock: Clock,
        logger: FilteringBoundLogger,
        settings: GroupSettings,
        on_lag: Callable[[int], None] = lambda _lag: None,
        waits_for_collectors: bool = False,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._consumer = consumer
        self._topic = topic
        self._collectors = collectors
        self._keeper = keeper
        self._counters = counters
        self._clock = clock
        self._logger = logger
        self._settings = settings
        self._on_lag = on_lag
        self._waits_for_collectors = waits_for_collectors
        self._sleep = sleep
        self._window = Window(settings.limits)
        self._ranges = RangeTracker()
        self._finished: asyncio.Queue[Sequence[Finished]] = asyncio.Queue()
        self._asking = Asking(collectors, self._window, self._finished.put_nowait, clock)

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until ``stop`` is set; then give what is in flight its grace and abandon the rest.

        What is abandoned was not committed and comes again.

        Raises:
            ExceptionGroup: The log failed, or there is a mistake here; the caller starts a new membership.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._settle())
                tasks.create_task(self._watch_lag())
                await self._take_in(stop, tasks)
                self._asking.begin_to_stop()
                await self._finish_in_flight()
                raise _StopConsuming  # noqa: TRY301 - a task group is ended by raising inside it
        except* _StopConsuming:
            pass

    async def _take_in(self, stop: asyncio.Event, tasks: asyncio.TaskGroup) -> None:
        while not stop.is_set():
            self._forget_lost()
            room = self._window.room()
            if not room:
                await self._window.finished_some(_POLL_S)
                continue
            records = await self._consumer.poll(min(room, _POLL_RECORDS), _POLL_S)
            self._forget_lost()
            while self._waits_for_collectors and not self._collectors():
                if stop.is_set():
                    # They were polled for nobody: they are not committed, and come again.
                    return
                await self._sleep(_POLL_S)
            collectors = [collector for collector in self._collectors() if collector.collects()]
            for record in records:
                self._window.admit(record)
            self._asking.ask(records, collectors, tasks)

    def _forget_lost(self) -> None:
        lost = self._consumer.lost()
        if lost:
            self._window.forget(lost)
            self._ranges.forget(lost)
            self._logger.info("partitions lost", partitions=[f"{place.topic}/{place.name}" for place in lost])

    async def _settle(self) -> None:
        slugs = [collector.plugin.slug for collector in self._collectors()]
        await self._until_stored(partial(self._keeper.tidy, slugs))
        while True:
            finished = list(await self._finished.get())
            taken = 1
            while len(finished) < _STORE_RECORDS and not self._finished.empty():
                finished += self._finished.get_nowait()
                taken += 1
            await self._until_stored(partial(self._keeper.keep, finished))
            for item in finished:
                if isinstance(item, Decided) and self._window.knows(item.record):
                    self._ranges.note(item.event, item.decisions)
            offsets = self._window.finish(item.record for item in finished)
            if offsets:
                await self._save_ranges(self._ranges.pass_to(offsets))
                await self._consumer.commit(offsets)
                self._counters.commits += 1
            self._counters.last_error = None
            self._note_age(finished[-1])
            for _ in range(taken):
                self._finished.task_done()

    def _note_age(self, last: Finished) -> None:
        if isinstance(last, Decided):
            self._counters.age_s = max(0, self._clock.wall_us() - last.event.timestamp_us) / 1_000_000

    async def _save_ranges(self, runs: Sequence[Run]) -> None:
        if runs:
            await self._until_stored(partial(self._keeper.save_ranges, runs))
            self._ranges.saved(runs)

    async def _until_stored(self, store: Callable[[], Awaitable[None]]) -> None:
        """Write to the database, waiting for it as long as it takes."""
        attempt = 1
        while True:
            try:
                return await store()
            except DatabaseUnavailableError as error:
                self._counters.last_error = str(error)
                self._logger.warning("database unavailable", attempt=attempt, error=str(error))
            await self._sleep(self._settings.database_backoff.after(attempt))
            attempt += 1

    async def _finish_in_flight(self) -> None:
        try:
            async with asyncio.timeout(self._settings.grace_s):
                while self._window.unfinished > self._asking.given_back:
                    await self._window.finished_some(_POLL_S)
                # The window is empty before the last offsets are committed; the queue is done after.
                await self._finished.join()
        except TimeoutError:
            self._logger.warning(
                "consuming abandoned", events=self._window.unfinished, grace_s=self._settings.grace_s
            )

    async def _watch_lag(self) -> None:
        # Apart from the polling: counting a backlog for the first time may read all of it.
        stalls = StallWatch(
            self._counters,
            after_s=self._settings.stuck_after_s,
            monotonic=self._clock.monotonic,
            logger=self._logger,
        )
        lateness = LateWatch(
            self._counters, retention_s=self._settings.retention_s.get(self._topic), logger=self._logger
        )
        while True:
            try:
                lag = self._counters.lag = sum((await self._consumer.lag()).values())
                self._on_lag(lag)
            except LogUnavailableError as error:
                # What reads and commits finds out by itself; meanwhile the last figure stands.
                self._logger.warning("lag unknown", error=str(error))
            stalls.watch(self._counters.lag or 0)
            lateness.watch(self._oldest_s())
            await self._sleep(self._settings.lag_every_s)

    def _oldest_s(self) -> float:
        """Of what is in hand: the group has always polled the first records that it has not committed."""
        ages = [0]
        for record in self._window.oldest():
            with contextlib.suppress(UnreadableEventError):
                ages.append(self._clock.wall_us() - read_event(record).timestamp_us)
        return max(ages) / 1_000_000
