"""The collector process: its groups and its redrives, under one configuration."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.typing import FilteringBoundLogger

from weir_collectors.backoff import Backoff
from weir_collectors.breaker import Breaker, BreakerSettings
from weir_collectors.consuming import GroupSettings
from weir_collectors.counters import Counters
from weir_collectors.kinds import EventKind
from weir_collectors.memberships import ObserverGroups, Surroundings, deciding
from weir_collectors.range_redrive import RangeRedrive
from weir_collectors.range_store import RangeStore
from weir_collectors.records import RecordStore
from weir_collectors.redrive_desk import RedriveDesk
from weir_collectors.redriver import Redriver
from weir_collectors.restarting import RestartSettings, keep_running, pause
from weir_collectors.roster import Roster
from weir_collectors.status import WorkerStatus, worker_status
from weir_core.clock import Clock
from weir_core.objects import Plugin
from weir_core.snapshot import Snapshot
from weir_host.host import PluginHost
from weir_streams.log import EventLog, RangeReader
from weir_streams.notices import SpooledNotices

_NOTHING: Final = Snapshot(-1)


class SnapshotFeed(Protocol):
    """Where configuration comes from."""

    async def wait_newer(self, revision: int, /) -> Snapshot:
        """Wait for a snapshot of a later revision."""
        ...


class WorkerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a collector process works; the defaults are for production."""

    groups: GroupSettings = GroupSettings()
    breaker: BreakerSettings = BreakerSettings()
    collector_backoff: Backoff = Backoff(first_s=0.2, longest_s=5.0)
    restart: RestartSettings = RestartSettings()
    redrive_every_s: float = 1.0
    """How often to look whether a redrive was asked for."""
    ready_within_s: float = 5.0
    """How long a new configuration waits for the plugins that it starts."""


class CollectorWorker:
    """Runs the groups and the redrives until it is told to stop.

    The caller owns ``log``, ``host`` and ``engine`` (from ``create_engine``), and closes them after ``run``
    has returned.

    Args:
        name: Names this process among those that may run at once, the same after a restart.
        reader: Reads the log again, for redrives.
        notices: Told of dead letters.
    """

    def __init__(
        self,
        *,
        name: str,
        log: EventLog,
        reader: RangeReader,
        feed: SnapshotFeed,
        host: PluginHost,
        engine: AsyncEngine,
        clock: Clock,
        logger: FilteringBoundLogger,
        settings: WorkerSettings,
        notices: SpooledNotices | None = None,
    ) -> None:
        self._feed = feed
        self._host = host
        self._clock = clock
        self._logger = logger
        self._settings = settings
        self._counters = Counters()
        self._roster = Roster(host, settings.collector_backoff, self._breaker)
        self._around = Surroundings(
            log=log,
            roster=self._roster,
            store=RecordStore(engine, notices),
            ranges=RangeStore(engine),
            counters=self._counters,
            clock=clock,
            logger=logger,
            settings=settings.groups,
            restart=settings.restart,
        )
        desk = RedriveDesk(engine, name, clock, notices)
        self._redriver = Redriver(
            desk,
            RangeRedrive(desk, reader, engine, self._counters, clock),
            self._roster,
            self._counters,
            logger,
            settings.redrive_every_s,
        )
        self._snapshot = _NOTHING
        self._applied: int | None = None
        self._configured = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until ``stop`` is set, then finish what is in flight and return.

        Nothing is consumed before the first configuration is in force: without its collectors, every
        event would be stored as unhandled.
        """
        async with asyncio.TaskGroup() as tasks:
            observers = ObserverGroups(self._around, tasks)
            following = tasks.create_task(self._follow_configuration(observers, stop))
            await _any_of(self._configured, stop)
            groups = [
                tasks.create_task(deciding(kind, self._around).keep(self._around, stop)) for kind in EventKind
            ]
            redriving = tasks.create_task(self._keep_redriving(stop))
            await stop.wait()
            following.cancel()
            observers.end()
            # Both have the same time, not one after the other.
            await asyncio.gather(*groups, asyncio.wait([redriving], timeout=self._settings.groups.grace_s))
            redriving.cancel()

    @property
    def snapshot(self) -> Snapshot:
        """The newest configuration, for the plugins' reads of it; empty before the first one."""
        return self._snapshot

    def status(self) -> WorkerStatus:
        """What this process is doing, for status reports and metrics. Does no I/O."""
        return worker_status(self._applied, self._host, self._roster, self._counters)

    async def _keep_redriving(self, stop: asyncio.Event) -> None:
        await keep_running(
            lambda: self._redriver.run(stop),
            stop=stop,
            clock=self._clock,
            settings=self._settings.restart,
            failed=lambda error: self._logger.error("redriving failed", exc_info=error),
        )

    async def _follow_configuration(self, observers: ObserverGroups, stop: asyncio.Event) -> None:
        revision = _NOTHING.revision
        failures = 0
        while True:
            try:
                snapshot = await self._feed.wait_newer(revision)
                await self._apply(snapshot, observers)
            except Exception:  # foreign code is started here; the last revision stays in force
                failures += 1
                self._logger.exception("configuration failed", after_revision=revision)
                await pause(stop, self._settings.restart.backoff.after(failures))
            else:
                revision, failures = snapshot.revision, 0

    async def _apply(self, snapshot: Snapshot, observers: ObserverGroups) -> None:
        # A plugin that goes is not asked any more before the host stops it, and a new one is not asked
        # before the host has had time to start it.
        self._snapshot = snapshot
        self._roster.dismiss(snapshot)
        await self._host.apply(snapshot, self._settings.ready_within_s)
        self._roster.appoint(snapshot)
        observers.follow(self._roster.observers())
        self._applied = snapshot.revision
        for plugin_id, reason in self._roster.refused.items():
            self._logger.error("collector refused", plugin_id=plugin_id, reason=reason)
        self._logger.info("configuration applied", revision=snapshot.revision)
        self._configured.set()

    def _breaker(self, plugin: Plugin, kind: EventKind) -> Breaker:
        logger = self._logger.bind(collector=plugin.slug, kind=kind.value)

        def changed(reason: str) -> None:
            if reason:
                on_outage = plugin.collector.on_outage
                logger.error("collector outage", reason=reason, on_outage=on_outage)
            else:
                logger.warning("collector outage over")

        return Breaker(self._settings.breaker, self._clock.monotonic, changed)


async def _any_of(*events: asyncio.Event) -> None:
    waiting = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
