"""Ranges of dead letters: which stretches of a partition a collector was not asked about.

Decisions come in any order; a stretch is made of those in a row, so they are put into the log's order first.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from weir_collectors.decoding import ReadEvent
from weir_collectors.handled import Decision
from weir_streams.log import Partition


class RangeState(StrEnum):
    """Where a range stands."""

    OPEN = "open"
    """It may grow."""
    CLOSED = "closed"
    """It waits for somebody to ask for a redrive; also after a redrive that could not go on."""
    REQUESTED = "requested"
    REDRIVEN = "redriven"


class Stretch(NamedTuple):
    """Events in a row that a collector was not asked about; the moments are the events' own."""

    first_offset: int
    last_offset: int
    events: int
    first_timestamp_us: int
    last_timestamp_us: int

    def with_more(self, later: Stretch) -> Stretch:
        """Both together, as one."""
        return Stretch(
            self.first_offset,
            later.last_offset,
            self.events + later.events,
            min(self.first_timestamp_us, later.first_timestamp_us),
            max(self.last_timestamp_us, later.last_timestamp_us),
        )


@dataclass(slots=True, eq=False)
class Run:
    """A range as it grows. ``unsaved`` is what its row does not hold yet; no ``row_id`` means no row yet."""

    collector: str
    partition: Partition
    reason: str
    unquoted: str | None = None
    row_id: int | None = None
    unsaved: Stretch | None = None
    ended: bool = False

    def grow(self, more: Stretch) -> None:
        """Take on the next event."""
        self.unsaved = more if self.unsaved is None else self.unsaved.with_more(more)


class _Note(NamedTuple):
    offset: int
    timestamp_us: int
    decisions: Sequence[Decision]


class RangeTracker:
    """Makes runs out of a group's decisions. Does no I/O."""

    def __init__(self) -> None:
        self._notes: dict[Partition, list[_Note]] = defaultdict(list)
        self._runs: dict[tuple[Partition, str], Run] = {}
        self._changed: dict[Run, None] = {}

    def note(self, event: ReadEvent, decisions: Sequence[Decision]) -> None:
        """Take note of what was decided about an event."""
        if decisions:
            record = event.record
            note = _Note(record.offset, event.timestamp_us, decisions)
            heapq.heappush(self._notes[record.partition], note)

    def pass_to(self, offsets: Mapping[Partition, int]) -> list[Run]:
        """Return the runs that changed with the events before these offsets, all of which are decided.

        They are returned again until ``saved`` says that their rows hold them.
        """
        for partition, end in offsets.items():
            for note in self._before(partition, end):
                for decision in note.decisions:
                    self._follow(partition, note, decision)
        return list(self._changed)

    def saved(self, runs: Sequence[Run]) -> None:
        """Take note that the runs' rows hold all of them."""
        for run in runs:
            run.unsaved = None
            self._changed.pop(run, None)

    def forget(self, partitions: Collection[Partition]) -> None:
        """End the runs of partitions that are lost; what is noted of events past their ends comes again."""
        for partition in partitions:
            self._notes.pop(partition, None)
        for key in [key for key in self._runs if key[0] in partitions]:
            run = self._runs.pop(key)
            run.ended = True
            self._changed[run] = None

    def _before(self, partition: Partition, end: int) -> Iterator[_Note]:
        notes = self._notes[partition]
        while notes and notes[0].offset < end:
            yield heapq.heappop(notes)
        if not notes:
            del self._notes[partition]

    def _follow(self, partition: Partition, note: _Note, decision: Decision) -> None:
        key = (partition, decision.collector)
        run = self._runs.get(key)
        if decision.skipped:
            if run is None:
                run = self._runs[key] = Run(
                    decision.collector, partition, decision.error or "", decision.unquoted
                )
            run.grow(Stretch(note.offset, note.offset, 1, note.timestamp_us, note.timestamp_us))
            self._changed[run] = None
        elif run is not None:
            run.ended = True
            self._changed[run] = None
            del self._runs[key]
