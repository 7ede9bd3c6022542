"""The streams app: reads, adds, judges and publishes until it is told to stop."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, Final, Protocol

import msgspec

from weir_core.clock import Clock
from weir_core.errors import WeirError
from weir_streams.errors import ConsumerStalledError, EventsSkippedError, StoreBrokenError
from weir_streams.events import ANALYTICS_TOPIC
from weir_streams.log import Bounds, Partition
from weir_streams.reports import Logger
from weir_streams.windows.adding import Adder, Delivery, Ends
from weir_streams.windows.judging import Judge
from weir_streams.windows.outbox import Connect, Outbox
from weir_streams.windows.posting import PostingRound, WebhookPoster
from weir_streams.windows.rules import Rules
from weir_streams.windows.stalling import StallWatch, lag, shorter
from weir_streams.windows.status import StreamsStatus
from weir_streams.windows.store import WindowStore

TOPICS: Final = (ANALYTICS_TOPIC,)
"""What windows are made of."""

_FINISH_WITHIN_S: Final = 10.0
_CLOSE_WITHIN_S: Final = 10.0


class StreamsSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the app works. Times in seconds but where the name says days."""

    keep_days: float = 30
    retention_days: float = 30
    stall_s: float = 60
    rules: Rules = Rules()
    publish_every_s: float = 1.0
    look_every_s: float = 2.0


class _Reader(Protocol):
    @property
    def deliveries(self) -> asyncio.Queue[Delivery]: ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def check(self) -> None: ...


class StreamsApp:
    """One process's app. Whatever goes wrong ends it: a new process reads on from its store.

    Args:
        store: Whose windows it makes; closed at the end.
        read: Makes the reader, which asks where to begin.
        tail: Says where the topic ends.
        connect: Opens a producer.
        poster: Posts alerts, where they are to be posted.
        settings: How it works.
        clock: Time.
        logger: Told of what goes wrong.
    """

    def __init__(
        self,
        store: WindowStore,
        *,
        read: Callable[[Callable[[], Mapping[Partition, int]]], _Reader],
        tail: Ends,
        connect: Connect,
        poster: WebhookPoster | None,
        settings: StreamsSettings,
        clock: Clock,
        logger: Logger,
    ) -> None:
        self.status = StreamsStatus()
        self._store = store
        self._tail = tail
        self._poster = poster
        self._settings = settings
        self._clock = clock
        self._logger = logger
        self._leaving = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "windows")
        self._judge = Judge(store, settings.rules, posts=poster is not None)
        self._outbox = Outbox(store, self._judge, connect=connect, call=self._call, clock=clock)
        self._adder = Adder(
            store,
            tail=tail,
            keep_days=settings.keep_days,
            retention_days=settings.retention_days,
            clock=clock,
            logger=logger,
            status=self.status,
        )
        self._reader = read(lambda: self._adder.places)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until ``stop`` is set.

        Raises:
            WindowsError: A new process has to read on; nothing is lost.
        """
        if await self._call(self._store.began):
            self._logger.warning("the last stop was not clean; nothing is published until all is read")
        try:
            await self._work(stop)
        except BaseException:
            self._thread.shutdown(wait=True)
            raise
        await self._call(self._store.ended)
        self._thread.shutdown(wait=True)

    async def _work(self, stop: asyncio.Event) -> None:
        goal = await self._goal(stop)
        if stop.is_set():
            return
        self._adder.begin_again_where_shorter(goal)
        self._logger.info("reading", events_to_read=lag(goal, self._adder.places))
        jobs: list[asyncio.Task[None]] = []
        stopping = asyncio.create_task(stop.wait())
        try:
            await self._reader.start()
            jobs += [asyncio.create_task(job) for job in self._jobs(goal)]
            done, _ = await asyncio.wait((*jobs, stopping), return_when=asyncio.FIRST_COMPLETED)
            for job in done:
                job.result()
            await self._finish(jobs)
        finally:
            for job in (*jobs, stopping):
                job.cancel()
            await asyncio.gather(*jobs, stopping, return_exceptions=True)
            await self._reader.stop()
            await self._close()

    async def _finish(self, jobs: Collection[asyncio.Task[None]]) -> None:
        """Let what is being sent arrive and be noted, so that the next start does not send it again."""
        self._leaving.set()
        reading, *sending = jobs
        reading.cancel()
        await asyncio.wait(sending, timeout=_FINISH_WITHIN_S)

    def _jobs(self, goal: Mapping[Partition, Bounds]) -> Iterator[Coroutine[Any, Any, None]]:
        yield self._add()
        yield self._publish(goal)
        yield self._watch()
        if self._poster is not None:
            posting = PostingRound(
                self._judge,
                self._poster,
                call=self._call,
                clock=self._clock,
                logger=self._logger,
                status=self.status,
            )
            yield self._every(self._settings.publish_every_s, posting.post)

    async def _goal(self, stop: asyncio.Event) -> Mapping[Partition, Bounds]:
        """Where the topic ends now: before that is read, windows may lack what was logged long ago."""
        while not stop.is_set():
            try:
                return await self._tail.bounds(TOPICS, 0)
            except WeirError as error:
                if not error.retryable:
                    raise
                self._failed("kafka is not there", error)
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), self._settings.look_every_s)
        return {}

    async def _add(self) -> None:
        while True:
            await self._adder.add(self._reader.deliveries, self._call)

    async def _publish(self, goal: Mapping[Partition, Bounds]) -> None:
        async def once() -> None:
            if not self.status.caught_up and lag(goal, self._adder.places) == 0:
                self.status.caught_up = True
                self._logger.info("all is read that was there at the start; windows are published")
            if self.status.caught_up:
                await self._publish_once()

        await self._every(self._settings.publish_every_s, once)

    async def _publish_once(self) -> None:
        try:
            self.status.alerts += await self._call(self._judge.judge, self._clock.wall_us())
            self.status.published += await self._outbox.publish_windows()
            await self._outbox.publish_alerts()
            await self._outbox.take_out(self._adder.horizon_s)
        except StoreBrokenError:
            raise
        except WeirError as error:
            self._failed("windows are not published", error)
        else:
            self.status.last_error = None

    async def _watch(self) -> None:
        """Look at the lag, and end the process when there is one and nothing moves."""
        stall = StallWatch(self._settings.stall_s, self._clock.monotonic)

        async def look() -> None:
            self._reader.check()
            await self._look()
            if self.status.stalled is not None:
                raise ConsumerStalledError(self.status.stalled)
            if stall.stalled(self.status.lag, sum(self._adder.places.values())):
                # The next look ends it, so that /health has said why by then.
                self.status.stalled = (
                    f"{self.status.lag} events wait and none was read for {self._settings.stall_s:g} s"
                )

        await self._every(self._settings.look_every_s, look)

    async def _look(self) -> None:
        before = dict(self._adder.places)
        try:
            ends = await self._tail.bounds(TOPICS, 0)
        except WeirError as error:
            self.status.lag = None
            self._failed("lag is not known", error)
            return
        self.status.lag = lag(ends, self._adder.places)
        if shorter(ends, before):
            raise EventsSkippedError("the topic ends before what was read of it; it was made anew")

    async def _every(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        while not self._leaving.is_set():
            await work()
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._leaving.wait()

    async def _close(self) -> None:
        """A last time what was added since, where that can be; the next start sends what is left."""
        if self.status.caught_up:
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_WITHIN_S):
                    await self._publish_once()
        await self._outbox.close()
        if self._poster is not None:
            await self._poster.close()

    async def _call(self, blocking: Callable[..., Any], *args: Any, **named: Any) -> Any:
        """Run a blocking call in the one thread that the store is used in."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, partial(blocking, *args, **named))
        except sqlite3.Error as error:
            raise StoreBrokenError(f"the windows' file cannot be used: {error}") from error

    def _failed(self, what: str, error: WeirError) -> None:
        self.status.last_error = f"{what}: {error}"
        self._logger.warning(what, error=str(error))
