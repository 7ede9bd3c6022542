"""Observers: collectors with a group of their own for each kind, who change nothing for anybody else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from structlog.typing import FilteringBoundLogger

from weir_collectors.asking import Decided, Finished
from weir_collectors.collector import Collector
from weir_collectors.counters import Counters, GroupCounters
from weir_collectors.dead_letters import letters_of
from weir_collectors.kinds import EventKind
from weir_collectors.range_store import RangeStore
from weir_collectors.ranges import Run
from weir_collectors.records import RecordStore
from weir_core.clock import Clock

_CAUGHT_UP_MOST: Final = 2048
_CAUGHT_UP_SHARE: Final = 10


class ObservingKeeper:
    """The ``Keeper`` of an observer: its dead letters, and no records.

    What is no event is passed over; the deciding group keeps it.
    """

    def __init__(
        self,
        kind: EventKind,
        group: GroupCounters,
        *,
        store: RecordStore,
        ranges: RangeStore,
        counters: Counters,
        clock: Clock,
    ) -> None:
        self._kind = kind
        self._group = group
        self._store = store
        self._ranges = ranges
        self._counters = counters
        self._clock = clock

    async def tidy(self, slugs: Sequence[str]) -> None:
        """See ``Keeper.tidy``."""
        await self._ranges.close_left(self._kind, slugs, self._clock.wall_us())

    async def keep(self, finished: Sequence[Finished]) -> None:
        """Store the dead letters. See ``Keeper.keep``."""
        decided = [item for item in finished if isinstance(item, Decided)]
        now_us = self._clock.wall_us()
        letters = [
            letter
            for item in decided
            for letter in letters_of(self._kind, item.event, item.decisions, now_us)
        ]
        await self._store.store(self._kind, (), letters)
        self._group.undecodable += len(finished) - len(decided)
        for item in decided:
            self._counters.count(self._group, item.decisions, stored=False)

    async def save_ranges(self, runs: Sequence[Run]) -> None:
        """See ``Keeper.save_ranges``."""
        await self._ranges.save(self._kind, runs, self._clock.wall_us())


class LagGuard:
    """Moves an observer that is too far behind to the end of the log, so that it cannot hold the spool.

    The events in between are let past and make a range of dead letters.

    Args:
        collectors: The group's collector, or nothing while it is being replaced.
    """

    def __init__(
        self,
        collectors: Callable[[], Sequence[Collector]],
        group: GroupCounters,
        logger: FilteringBoundLogger,
    ) -> None:
        self._collectors = collectors
        self._group = group
        self._logger = logger

    def watch(self, lag: int) -> None:
        """Look at the lag, in records."""
        for collector in self._collectors():
            max_lag = collector.plugin.collector.max_lag
            if not collector.skipping and lag > max_lag:
                self._skip(collector, lag)
            elif collector.skipping and lag <= min(max_lag // _CAUGHT_UP_SHARE, _CAUGHT_UP_MOST):
                collector.resume()
                self._logger.warning("observer goes on", collector=collector.plugin.slug, lag=lag)

    def _skip(self, collector: Collector, lag: int) -> None:
        reason = (
            f"the observer was {lag} events behind and may be {collector.plugin.collector.max_lag}; "
            "it goes on from the end of the log"
        )
        self._group.overruns += 1
        self._group.last_error = reason
        self._logger.error("observer too far behind", collector=collector.plugin.slug, reason=reason)
        collector.skip(reason)
