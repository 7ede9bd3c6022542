"""What a deciding group keeps: every event that no collector handled, and why collectors failed."""

from __future__ import annotations

from collections.abc import Sequence

from weir_collectors.asking import Decided, Finished
from weir_collectors.counters import Counters
from weir_collectors.dead_letters import letters_of
from weir_collectors.handled import must_store
from weir_collectors.kinds import EventKind
from weir_collectors.range_store import RangeStore
from weir_collectors.ranges import Run
from weir_collectors.records import RecordStore, UndecodableEvent
from weir_core.clock import Clock


class DecidingKeeper:
    """The ``Keeper`` of one kind's deciding group."""

    def __init__(
        self, kind: EventKind, *, store: RecordStore, ranges: RangeStore, counters: Counters, clock: Clock
    ) -> None:
        self._kind = kind
        self._store = store
        self._ranges = ranges
        self._counters = counters
        self._clock = clock

    async def tidy(self, slugs: Sequence[str]) -> None:
        """See ``Keeper.tidy``."""
        await self._ranges.close_left(self._kind, slugs, self._clock.wall_us())

    async def keep(self, finished: Sequence[Finished]) -> None:
        """Store what nobody handled, with the dead letters, and what is no event. See ``Keeper.keep``."""
        decided = [item for item in finished if isinstance(item, Decided)]
        undecodable = [item for item in finished if isinstance(item, UndecodableEvent)]
        now_us = self._clock.wall_us()
        await self._store.store(
            self._kind,
            [item.event for item in decided if must_store(item.decisions)],
            [
                letter
                for item in decided
                for letter in letters_of(self._kind, item.event, item.decisions, now_us)
            ],
            undecodable,
        )
        group = self._counters.deciding[self._kind]
        group.undecodable += len(undecodable)
        for item in decided:
            self._counters.count(group, item.decisions, stored=must_store(item.decisions))

    async def save_ranges(self, runs: Sequence[Run]) -> None:
        """See ``Keeper.save_ranges``."""
        await self._ranges.save(self._kind, runs, self._clock.wall_us())
