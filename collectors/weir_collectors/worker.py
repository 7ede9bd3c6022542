"""The collector process: one deciding group for each kind of event, under one configuration."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final, Protocol

import msgspec
from structlog.typing import FilteringBoundLogger

from weir_collectors.backoff import Backoff
from weir_collectors.counters import Counters
from weir_collectors.deciding import DecidingGroup, DecidingSettings
from weir_collectors.kinds import EventKind
from weir_collectors.records import RecordStore
from weir_collectors.roster import Roster
from weir_collectors.status import WorkerStatus, worker_status
from weir_core.clock import Clock
from weir_core.snapshot import Snapshot
from weir_host.host import PluginHost
from weir_streams.log import EventLog

_NOTHING: Final = Snapshot(-1)


class SnapshotFeed(Protocol):
    """Where configuration comes from."""

    async def wait_newer(self, revision: int, /) -> Snapshot:
        """Wait for a snapshot of a later revision."""
        ...


class WorkerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a collector process works; the defaults are for production."""

    deciding: DecidingSettings = DecidingSettings()
    collector_backoff: Backoff = Backoff(first_s=0.2, longest_s=5.0)
    restart_backoff: Backoff = Backoff(first_s=0.5, longest_s=30.0)
    steady_s: float = 60.0
    """A group that ran this long is taken as healthy: its next restart is quick again."""
    ready_within_s: float = 5.0
    """How long a new configuration waits for the plugins that it starts."""


class CollectorWorker:
    """Runs the deciding groups until it is told to stop.

    The caller owns ``log``, ``host`` and the store's engine, and closes them after ``run`` has returned.
    """

    def __init__(
        self,
        *,
        log: EventLog,
        feed: SnapshotFeed,
        host: PluginHost,
        store: RecordStore,
        clock: Clock,
        logger: FilteringBoundLogger,
        settings: WorkerSettings,
    ) -> None:
        self._log = log
        self._feed = feed
        self._host = host
        self._store = store
        self._clock = clock
        self._logger = logger
        self._settings = settings
        self._counters = Counters()
        self._roster = Roster(host, settings.collector_backoff)
        self._snapshot = _NOTHING
        self._applied: int | None = None
        self._configured = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until ``stop`` is set, then finish what is in flight and return.

        Nothing is consumed before the first configuration is in force: without its collectors, every
        event would be stored as unhandled.
        """
        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(self._follow_configuration(stop))
            await _any_of(self._configured, stop)
            groups = [tasks.create_task(self._keep_deciding(kind, stop)) for kind in EventKind]
            await asyncio.gather(*groups)
            following.cancel()

    @property
    def snapshot(self) -> Snapshot:
        """The newest configuration, for the plugins' reads of it; empty before the first one."""
        return self._snapshot

    def status(self) -> WorkerStatus:
        """What this process is doing, for status reports and metrics. Does no I/O."""
        return worker_status(self._applied, self._host, self._roster, self._counters)

    async def _follow_configuration(self, stop: asyncio.Event) -> None:
        revision = _NOTHING.revision
        failures = 0
        while True:
            try:
                snapshot = await self._feed.wait_newer(revision)
                await self._apply(snapshot)
            except Exception:  # foreign code is started here; the last revision stays in force
                failures += 1
                self._logger.exception("configuration_failed", after_revision=revision)
                await _pause(stop, self._settings.restart_backoff.after(failures))
            else:
                revision, failures = snapshot.revision, 0

    async def _apply(self, snapshot: Snapshot) -> None:
        # A plugin that goes is not asked any more before the host stops it, and a new one is not asked
        # before the host has had time to start it.
        self._snapshot = snapshot
        self._roster.dismiss(snapshot)
        await self._host.apply(snapshot, self._settings.ready_within_s)
        self._roster.appoint(snapshot)
        self._applied = snapshot.revision
        for plugin_id, reason in self._roster.refused.items():
            self._logger.error("collector_refused", plugin_id=plugin_id, reason=reason)
        self._logger.info("configuration_applied", revision=snapshot.revision)
        self._configured.set()

    async def _keep_deciding(self, kind: EventKind, stop: asyncio.Event) -> None:
        counters = self._counters.kinds[kind]
        failures = 0
        while not stop.is_set():
            started = self._clock.monotonic()
            try:
                await self._decide(kind, stop)
            except Exception as error:  # the consumer loop's seam: whatever ended it, it starts anew
                if self._clock.monotonic() - started >= self._settings.steady_s:
                    failures = 0
                failures += 1
                counters.restarts += 1
                counters.last_error = _reason(error)
                self._logger.exception("deciding_failed", kind=kind.value)
                await _pause(stop, self._settings.restart_backoff.after(failures))

    async def _decide(self, kind: EventKind, stop: asyncio.Event) -> None:
        consumer = await self._log.consumer(kind.group, [kind.topic])
        try:
            group = DecidingGroup(
                kind,
                consumer,
                deciding=self._roster.deciding,
                store=self._store,
                counters=self._counters,
                clock=self._clock,
                logger=self._logger.bind(kind=kind.value),
                settings=self._settings.deciding,
            )
            await group.run(stop)
        finally:
            await consumer.close()


def _reason(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)


async def _any_of(*events: asyncio.Event) -> None:
    waiting = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
