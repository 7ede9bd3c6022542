"""Asking the collectors about what was polled, each event alone or many together, until all are decided."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from weir_collectors.collector import Collector
from weir_collectors.decoding import ReadEvent, read_event
from weir_collectors.errors import CollectorRetiredError, UnreadableEventError
from weir_collectors.handled import Decision
from weir_collectors.records import UndecodableEvent
from weir_collectors.window import Window
from weir_core.clock import Clock
from weir_streams.log import LogRecord


@dataclass(frozen=True, slots=True)
class Decided:
    """An event and what the collectors that were asked made of it."""

    event: ReadEvent
    decisions: Sequence[Decision]

    @property
    def record(self) -> LogRecord:
        return self.event.record


Finished = Decided | UndecodableEvent
"""What the membership is done with, but for keeping what is to be kept of it."""


class Asking:
    """The asking of one membership.

    Args:
        collectors: Those that there are now; one that retires is followed by its successor among them.
        window: Says whether an event is still the membership's to decide.
        finished: Takes what is decided, in any order.
        clock: Dates records that are no events.
    """

    def __init__(
        self,
        collectors: Callable[[], Sequence[Collector]],
        window: Window,
        finished: Callable[[Sequence[Finished]], None],
        clock: Clock,
    ) -> None:
        self.given_back = 0
        self._collectors = collectors
        self._window = window
        self._finished = finished
        self._clock = clock
        self._stopping = False

    def begin_to_stop(self) -> None:
        """Give back what waits for a sink; ``given_back`` counts it, and it comes again."""
        self._stopping = True
        # A sink that is away would otherwise hold its events, and us, for the whole grace.
        for collector in self._collectors():
            collector.retire()

    def ask(
        self, records: Sequence[LogRecord], collectors: Sequence[Collector], tasks: asyncio.TaskGroup
    ) -> None:
        """Begin to ask these collectors, in ``tasks``; events that nobody wants are finished at once."""
        by_asked: dict[tuple[Collector, ...], list[ReadEvent]] = defaultdict(list)
        for record in records:
            try:
                event = read_event(record)
            except UnreadableEventError as error:
                unreadable = UndecodableEvent(record, str(error), self._clock.wall_us())
                self._finished([unreadable])
                continue
            by_asked[tuple([each for each in collectors if each.wants(event)])].append(event)
        for asked, events in by_asked.items():
            if not asked:
                self._finished([Decided(event, ()) for event in events])
            elif len(asked) == 1 and asked[0].asks_together():
                tasks.create_task(self._decide_together(events, asked[0], tasks))
            else:
                for event in events:
                    tasks.create_task(self._decide(event, asked))

    async def _decide_together(
        self, events: Sequence[ReadEvent], collector: Collector, tasks: asyncio.TaskGroup
    ) -> None:
        """A task for each event costs more than most sinks do, so only those that fail get one."""

        def hear(asked: Sequence[ReadEvent], answers: Sequence[Decision | Exception]) -> None:
            decided: list[Finished] = []
            for event, answer in zip(asked, answers, strict=True):
                if isinstance(answer, Exception):
                    tasks.create_task(self._decide(event, [collector], answer))
                else:
                    decided.append(Decided(event, (answer,)))
            if decided:
                self._finished(decided)

        await collector.ask_together(events, hear)

    async def _decide(
        self, event: ReadEvent, asked: Sequence[Collector], failure: Exception | None = None
    ) -> None:
        try:
            if len(asked) == 1:
                # The common case; gathering one would cost it a second task.
                decisions = [await self._decision(asked[0], event, failure)]
            else:
                decisions = await asyncio.gather(*(self._decision(each, event) for each in asked))
        except CollectorRetiredError:
            # We are stopping: the event stays uncommitted and comes again.
            self.given_back += self._window.knows(event.record)
            return
        self._finished([Decided(event, decisions)])

    async def _decision(
        self, collector: Collector, event: ReadEvent, failure: Exception | None = None
    ) -> Decision:
        while True:
            try:
                return await collector.decide(event, failure)
            except CollectorRetiredError as error:
                if self._stopping:
                    raise
                successors = (item for item in self._collectors() if item.plugin.id == collector.plugin.id)
                successor = next(successors, None)
                if successor is None or successor is collector:
                    return Decision(collector.plugin.slug, tries=0, error=str(error))
                collector, failure = successor, None
