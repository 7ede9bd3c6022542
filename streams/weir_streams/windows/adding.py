"""One event's way into its window: from Faust's delivery to the committed sum."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import Final, NamedTuple, Protocol

from weir_core.clock import Clock
from weir_streams.billed import Batch, Mark
from weir_streams.errors import EventsSkippedError
from weir_streams.log import Bounds, LogRecord, Partition
from weir_streams.reports import Logger
from weir_streams.windows.stalling import shorter
from weir_streams.windows.status import StreamsStatus
from weir_streams.windows.store import Added, Call, WindowStore, seconds
from weir_streams.windows.sums import US_PER_S

_BATCH: Final = 1000
_DAY_US: Final = 24 * 3600 * US_PER_S


class Delivery(NamedTuple):
    """A record, and what says that it is in the windows."""

    record: LogRecord
    done: Callable[[], object]


class Ends(Protocol):
    """As much of a ``LogTail`` as tells where partitions begin and end."""

    async def bounds(self, topics: Collection[str], from_us: int) -> Mapping[Partition, Bounds]:
        """See ``LogTail.bounds``."""
        ...


class Adder:
    """Adds deliveries to a store, each offset exactly once and in order.

    Args:
        store: Used by nobody else while ``add`` runs.
        tail: Says where partitions begin, when offsets are missing.
        keep_days: Windows older than this are not added to.
        retention_days: How long the topic keeps events.
        clock: The time of day.
        logger: Told of events that were deleted before they were read.
        status: Brought up to date.
    """

    def __init__(
        self,
        store: WindowStore,
        *,
        tail: Ends,
        keep_days: float,
        retention_days: float,
        clock: Clock,
        logger: Logger,
        status: StreamsStatus,
    ) -> None:
        place = store.place()
        self.places: dict[Partition, int] = dict(place.offsets)
        self._marks: dict[Mark, int] = dict(place.marks)
        self._store = store
        self._tail = tail
        self._keep_us = round(keep_days * _DAY_US)
        self._retention_us = round(retention_days * _DAY_US)
        self._clock = clock
        self._logger = logger
        self._status = status

    @property
    def horizon_s(self) -> int:
        """Windows that begin earlier are not kept."""
        return seconds(self._clock.wall_us() - self._keep_us)

    def begin_again_where_shorter(self, bounds: Mapping[Partition, Bounds]) -> None:
        """Read partitions anew that end before what was read of them: somebody has made the topic anew.

        Their windows stay, and the marks still tell what is in them.
        """
        for partition in shorter(bounds, self.places):
            self._logger.warning(
                "the topic was made anew; it is read from its beginning",
                topic=partition.topic,
                partition=partition.name,
                expected_offset=self.places.pop(partition),
                end=bounds[partition].end,
            )

    async def add(self, deliveries: asyncio.Queue[Delivery], call: Call) -> None:
        """Wait for deliveries and add those that are there, in one transaction.

        Args:
            deliveries: In order per partition.
            call: Runs a blocking call of the store.

        Raises:
            EventsSkippedError: Retryable; offsets are missing that Kafka still has. Nothing of the batch was
                added.
        """
        taken = [await deliveries.get()]
        while len(taken) < _BATCH and not deliveries.empty():
            taken.append(deliveries.get_nowait())
        batch = Batch(self._marks)
        complete_from_s = 0
        for record in (delivery.record for delivery in taken):
            expected = batch.offsets.get(record.partition, self.places.get(record.partition, 0))
            if record.offset < expected:
                continue
            if record.offset > expected:
                complete_from_s = max(complete_from_s, await self._over_a_gap(record, expected))
            batch.take(record)
        if batch.size:
            horizon_s = self.horizon_s
            added = await call(self._store.add, batch, horizon_s=horizon_s, complete_from_s=complete_from_s)
            self.places |= batch.offsets
            self._marks |= batch.marks
            self._count(added, batch)
        for delivery in taken:
            delivery.done()

    async def _over_a_gap(self, record: LogRecord, expected: int) -> int:
        """From which second on windows are whole, when all that is missing was deleted by Kafka."""
        partition = record.partition
        bounds = (await self._tail.bounds([partition.topic], 0)).get(partition)
        if bounds is None or bounds.first < record.offset:
            raise EventsSkippedError(
                f"offset {record.offset} of {partition.topic}/{partition.name} came instead of {expected}"
            )
        self._logger.warning(
            "events were deleted before they were read; windows of their time are not published",
            topic=partition.topic,
            partition=partition.name,
            expected_offset=expected,
            found_offset=record.offset,
        )
        alone = Batch({})
        alone.take(record)
        began_us = max((billed.timestamp_us for billed in alone.events), default=0)
        return seconds(max(began_us, self._clock.wall_us() - self._retention_us))

    def _count(self, added: Added, batch: Batch) -> None:
        status = self._status
        status.added += added.added
        status.repeated += added.repeated
        status.late += added.late
        undecodable = batch.undecodable.total()
        status.undecodable += undecodable
        if undecodable:
            self._logger.error("undecodable events were not added", events=undecodable)
