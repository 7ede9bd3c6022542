"""The process's groups: three that decide, and one for each kind of each observer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial

import msgspec
from structlog.typing import FilteringBoundLogger

from weir_collectors.collector import Collector
from weir_collectors.consuming import ConsumingGroup, GroupSettings, Keeper
from weir_collectors.counters import Counters, GroupCounters
from weir_collectors.deciding import DecidingKeeper
from weir_collectors.groups import observer_group
from weir_collectors.joining import membership
from weir_collectors.kinds import EventKind
from weir_collectors.observing import LagGuard, ObservingKeeper
from weir_collectors.range_store import RangeStore
from weir_collectors.records import RecordStore
from weir_collectors.restarting import RestartSettings, keep_running
from weir_collectors.roster import Roster
from weir_core.clock import Clock
from weir_streams.log import EventLog


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What every group of a process works with."""

    log: EventLog
    roster: Roster
    store: RecordStore
    ranges: RangeStore
    counters: Counters
    clock: Clock
    logger: FilteringBoundLogger
    settings: GroupSettings
    restart: RestartSettings


class Membership(msgspec.Struct, frozen=True, kw_only=True):
    """One group of this process: who is asked, what is kept, and under which name."""

    kind: EventKind
    group: str
    collectors: Callable[[], Sequence[Collector]]
    keeper: Keeper
    counters: GroupCounters
    on_lag: Callable[[int], None] = lambda _lag: None
    waits_for_collectors: bool = False

    async def keep(self, around: Surroundings, stop: asyncio.Event) -> None:
        """Consume until ``stop`` is set, starting anew whenever the log or a mistake ends it."""
        logger = around.logger.bind(group=self.group)

        def failed(error: Exception) -> None:
            self.counters.restarts += 1
            self.counters.last_error = _reason(error)
            logger.error("group failed", exc_info=error)

        await keep_running(
            partial(self._consume, around, logger, stop),
            stop=stop,
            clock=around.clock,
            settings=around.restart,
            failed=failed,
        )

    async def _consume(self, around: Surroundings, logger: FilteringBoundLogger, stop: asyncio.Event) -> None:
        async with membership(around.log, self.group, [self.kind.topic], stop) as consumer:
            if consumer is None:
                return
            group = ConsumingGroup(
                consumer,
                topic=self.kind.topic,
                collectors=self.collectors,
                keeper=self.keeper,
                counters=self.counters,
                clock=around.clock,
                logger=logger,
                settings=around.settings,
                on_lag=self.on_lag,
                waits_for_collectors=self.waits_for_collectors,
            )
            await group.run(stop)


def deciding(kind: EventKind, around: Surroundings) -> Membership:
    """The membership in a kind's deciding group."""
    return Membership(
        kind=kind,
        group=kind.group,
        collectors=partial(around.roster.deciding, kind),
        keeper=DecidingKeeper(
            kind, store=around.store, ranges=around.ranges, counters=around.counters, clock=around.clock
        ),
        counters=around.counters.deciding[kind],
    )


def observing(kind: EventKind, slug: str, around: Surroundings) -> Membership:
    """The membership in an observer's group for one kind."""
    collectors = partial(around.roster.observing, kind, slug)
    counters = around.counters.observing[slug, kind]
    return Membership(
        kind=kind,
        group=observer_group(slug, kind),
        collectors=collectors,
        keeper=ObservingKeeper(
            kind,
            counters,
            store=around.store,
            ranges=around.ranges,
            counters=around.counters,
            clock=around.clock,
        ),
        counters=counters,
        on_lag=LagGuard(collectors, counters, around.logger).watch,
        waits_for_collectors=True,
    )


class ObserverGroups:
    """Keeps as many observers' groups running as the configuration has observers.

    Args:
        tasks: Runs them; it ends when ``end`` has been called and they have finished.
    """

    def __init__(self, around: Surroundings, tasks: asyncio.TaskGroup) -> None:
        self._around = around
        self._tasks = tasks
        self._stops: dict[str, asyncio.Event] = {}
        self._running: dict[str, asyncio.Task[None]] = {}

    def follow(self, slugs: Collection[str]) -> None:
        """Start the groups of observers that are new, and end those of observers that are gone."""
        for slug in self._stops.keys() - set(slugs):
            self._stops.pop(slug).set()
        for slug in set(slugs) - self._stops.keys():
            stop = self._stops[slug] = asyncio.Event()
            before = self._running.get(slug)
            self._running[slug] = self._tasks.create_task(self._observe(slug, stop, before))

    def end(self) -> None:
        """Let all groups finish what is in flight and end."""
        self.follow(())

    async def _observe(self, slug: str, stop: asyncio.Event, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            # An observer that came back at once: its groups take one member at a time.
            await asyncio.wait([before])
        async with asyncio.TaskGroup() as kinds:
            for kind in EventKind:
                kinds.create_task(observing(kind, slug, self._around).keep(self._around, stop))
        for kind in EventKind:
            self._around.counters.observing[slug, kind].forget_lag()


def _reason(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"
