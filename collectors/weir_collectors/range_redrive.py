"""One range's redrive: its events out of the log, or out of the records where the log has lost them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Sequence
from contextlib import aclosing
from typing import Final, NamedTuple

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncEngine

from weir_collectors.collector import Collector
from weir_collectors.counters import Counters
from weir_collectors.dead_letters import DeadLetter
from weir_collectors.decoding import ReadEvent, read_event
from weir_collectors.errors import UnreadableEventError
from weir_collectors.handled import Decision
from weir_collectors.kinds import EventKind
from weir_collectors.recorded import LostStretch, recorded_events
from weir_collectors.redrive_desk import RedriveDesk
from weir_core.clock import Clock
from weir_streams.log import LogRecord, Partition, RangeReader

REDRIVE_AT_ONCE: Final = 64
"""Events of one collector that are redriven at the same time: live events keep most of its window."""


class _Step(NamedTuple):
    """Events to redrive next, and the offset up to which the range is done after them."""

    events: Sequence[ReadEvent]
    next_offset: int


class RangeRedrive:
    """Redrives ranges, a step at a time; a step out of the log that ended is never done again.

    Args:
        reader: Reads the log again.
        engine: For the records.
    """

    def __init__(
        self, desk: RedriveDesk, reader: RangeReader, engine: AsyncEngine, counters: Counters, clock: Clock
    ) -> None:
        self._desk = desk
        self._reader = reader
        self._engine = engine
        self._counters = counters
        self._clock = clock

    async def run(self, row: RowMapping, collector: Collector, stop: asyncio.Event) -> None:
        """Redrive from where the range stands until its end, until the sink is away, or until ``stop``.

        Raises:
            DatabaseUnavailableError, LogUnavailableError: The range stays asked for, and is gone on with.
        """
        first = True
        async with aclosing(self._steps(row)) as steps:
            async for step in steps:
                wanted = await self._desk.unerased(
                    [event for event in step.events if _is_of(row, event) and collector.wants(event)]
                )
                decisions = await collector.redrive(wanted, first=first)
                away = next((decision for decision in decisions if decision.skipped), None)
                if away is None or not all(decision.skipped for decision in decisions):
                    await self._note(row, collector, step, list(zip(wanted, decisions, strict=True)))
                if away is not None:
                    return await self._desk.stop_range(row, away)
                if stop.is_set():
                    return None
                first = first and not wanted
        return await self._desk.finish_range(row)

    async def _note(
        self,
        row: RowMapping,
        collector: Collector,
        step: _Step,
        outcomes: Sequence[tuple[ReadEvent, Decision]],
    ) -> None:
        letters = [
            DeadLetter(
                event=event,
                collector=decision.collector,
                kind=collector.kind,
                reason=decision.error,
                retryable=decision.retryable,
                tries=decision.tries,
                unquoted=decision.unquoted,
                failed_at_us=self._clock.wall_us(),
            )
            for event, decision in outcomes
            if decision.error is not None
        ]
        redriven = len(outcomes) - len(letters)
        await self._desk.advance_range(row, step.next_offset, redriven, letters)
        self._counters.collectors[collector.plugin.slug].redriven += redriven

    async def _steps(self, row: RowMapping) -> AsyncGenerator[_Step, None]:
        partition = Partition(row["topic"], row["partition"])
        position, last = row["next_offset"], row["last_offset"]
        # The first step is one event, which finds out whether the sink is back.
        most = 1
        async with aclosing(self._reader.read_range(partition, position, last)) as batches:
            async for batch in batches:
                if batch[0].offset > position and not _is_replay(row):
                    async for step in self._lost_steps(row, position, batch[0].offset):
                        yield step
                for records in _in_pieces(batch, most):
                    most = REDRIVE_AT_ONCE
                    position = records[-1].offset + 1
                    yield _Step(list(_readable(records)), position)
        if position <= last and not _is_replay(row):
            async for step in self._lost_steps(row, position, last + 1):
                yield step

    async def _lost_steps(self, row: RowMapping, first: int, end: int) -> AsyncIterator[_Step]:
        lost = LostStretch(
            kind=EventKind(row["kind"]),
            spool_id=row["partition"],
            first=first,
            end=end,
            first_timestamp_us=row["first_timestamp_us"],
            last_timestamp_us=row["last_timestamp_us"],
        )
        async for events in recorded_events(self._engine, lost):
            for start in range(0, len(events), REDRIVE_AT_ONCE):
                # They are not in the order of their offsets: none is done before all of them are.
                yield _Step(events[start : start + REDRIVE_AT_ONCE], first)


def _is_of(row: RowMapping, event: ReadEvent) -> bool:
    """Whether an event's moment is one of the range's. A replay is a range because of nothing else."""
    moments: bool = row["first_timestamp_us"] <= event.timestamp_us <= row["last_timestamp_us"]
    return moments


def _is_replay(row: RowMapping) -> bool:
    """Whether nobody has counted the range's events: then none of them is looked for among the records."""
    counted: int = row["events"]
    return counted == 0


def _in_pieces(records: Sequence[LogRecord], first: int) -> Iterator[Sequence[LogRecord]]:
    yield records[:first]
    for start in range(first, len(records), REDRIVE_AT_ONCE):
        yield records[start : start + REDRIVE_AT_ONCE]


def _readable(records: Iterable[LogRecord]) -> Iterator[ReadEvent]:
    """The events among records; what is none was set aside by the deciding group."""
    for record in records:
        with contextlib.suppress(UnreadableEventError):
            yield read_event(record)
