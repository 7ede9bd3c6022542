"""Executes the redrives that were asked for, each collector's by itself and beside live traffic."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from sqlalchemy import RowMapping
from structlog.typing import FilteringBoundLogger

from weir_collectors.counters import Counters
from weir_collectors.decoding import ReadEvent, read_event
from weir_collectors.errors import UnreadableEventError, brief
from weir_collectors.handled import Decision
from weir_collectors.kinds import EventKind
from weir_collectors.range_redrive import REDRIVE_AT_ONCE, RangeRedrive
from weir_collectors.redrive_desk import RedriveDesk
from weir_collectors.restarting import pause
from weir_collectors.roster import Roster
from weir_core.errors import WeirError
from weir_streams.log import LogRecord, Partition

_UNKNOWN: Final = "the event is not known any more: it is older than whole dead letters, or was erased"


class Redriver:
    """Looks for requests now and then, and executes them.

    Args:
        ranges: Redrives ranges.
        every_s: How often to look.
    """

    def __init__(
        self,
        desk: RedriveDesk,
        ranges: RangeRedrive,
        roster: Roster,
        counters: Counters,
        logger: FilteringBoundLogger,
        every_s: float,
    ) -> None:
        self._desk = desk
        self._ranges = ranges
        self._roster = roster
        self._counters = counters
        self._logger = logger
        self._every_s = every_s
        self._busy: set[str] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Redrive until ``stop`` is set; then what is under way ends its step, and the rest stays asked for.

        Raises:
            DatabaseUnavailableError: Retryable; the requests cannot be read now.
        """
        async with asyncio.TaskGroup() as tasks:
            while not stop.is_set():
                for slug in await self._desk.collectors() - self._busy:
                    self._busy.add(slug)
                    tasks.create_task(self._redrive(slug, stop))
                await pause(stop, self._every_s)

    async def _redrive(self, slug: str, stop: asyncio.Event) -> None:
        try:
            if self._may_begin(slug):
                while not stop.is_set() and (await self._letters(slug) or await self._range(slug, stop)):
                    continue
        except WeirError as error:
            # The database or the log is away; what was asked for still is, and the next look goes on with it.
            self._logger.warning("redrive interrupted", collector=slug, error=str(error))
        finally:
            self._busy.discard(slug)

    def _may_begin(self, slug: str) -> bool:
        collectors = (self._roster.find(kind, slug) for kind in EventKind)
        return not any(collector.is_starting() for collector in collectors if collector is not None)

    async def _letters(self, slug: str) -> bool:
        """Redrive some dead letters; return whether there were any."""
        rows = await self._desk.take_letters(slug, REDRIVE_AT_ONCE)
        if not rows:
            return False
        first = await self._ask(slug, rows[:1], first=True)
        if first[0].skipped:
            await self._desk.fail_letters(slug, first[0])
            return True
        decisions = [*first, *await self._ask(slug, rows[1:], first=False)]
        await self._desk.finish_letters(list(zip(rows, decisions, strict=True)))
        self._counters.collectors[slug].redriven += sum(decision.succeeded for decision in decisions)
        return True

    async def _ask(self, slug: str, rows: Sequence[RowMapping], *, first: bool) -> list[Decision]:
        return await asyncio.gather(*(self._ask_one(slug, row, first=first) for row in rows))

    async def _ask_one(self, slug: str, row: RowMapping, *, first: bool) -> Decision:
        kind = EventKind(row["kind"])
        collector = self._roster.find(kind, slug)
        if collector is None:
            return _nobody(slug)
        try:
            event = _event(kind, row)
        except UnreadableEventError as error:
            return Decision(slug, tries=0, error=brief(error), retryable=False)
        (decision,) = await collector.redrive([event], first=first)
        return decision

    async def _range(self, slug: str, stop: asyncio.Event) -> bool:
        """Redrive one range; return whether there was one."""
        row = await self._desk.take_range(slug)
        if row is None:
            return False
        collector = self._roster.find(EventKind(row["kind"]), slug)
        if collector is None:
            await self._desk.stop_range(row, _nobody(slug))
        else:
            await self._ranges.run(row, collector, stop)
        return True


def _event(kind: EventKind, row: RowMapping) -> ReadEvent:
    if row["value"] is None:
        raise UnreadableEventError(_UNKNOWN)
    return read_event(LogRecord(Partition(kind.topic, ""), 0, b"", row["value"].encode()))


def _nobody(slug: str) -> Decision:
    why = f"there is no active collector {slug}; switch it on, then redrive again"
    return Decision(slug, tries=0, error=why, skipped=True)
