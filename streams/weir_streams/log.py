"""``EventLog``: what consumers may rely on, whether the log is Kafka or the spools themselves."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from typing import NamedTuple, Protocol


class Partition(NamedTuple):
    """A sequence of records in order. ``name`` is a spool id (embedded) or a number (Kafka)."""

    topic: str
    name: str


class LogRecord(NamedTuple):
    """One event. Offsets grow within a partition but may have gaps."""

    partition: Partition
    offset: int
    key: bytes
    value: bytes


class Consumer(Protocol):
    """One member of a group, reading one or more topics.

    Delivery is at least once: after a crash or a hand-over, records behind the last commit come again.
    """

    async def poll(self, max_records: int, timeout_s: float) -> Sequence[LogRecord]:
        """Return the next records, in order within each partition; wait up to ``timeout_s`` for the first.

        Raises:
            LogUnavailableError: Retryable; the log cannot be read now.
        """
        ...

    def lost(self) -> Collection[Partition]:
        """Partitions that were taken from this member since the last call: forget their records.

        To be asked right after each ``poll``, before its records are taken on: a partition may be among both,
        when it was lost and came back. What of it is still in hand comes again, here or at another member.
        """
        ...

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Durably store, per partition, the offset of the next record to read (last finished + 1).

        Partitions that are not this member's, or not any more, are passed over.
        """
        ...

    async def lag(self) -> Mapping[Partition, int]:
        """Records between the committed offset and the end, per partition."""
        ...

    async def close(self) -> None:
        """Leave the group. Commits nothing by itself."""
        ...


class EventLog(Protocol):
    """Where events go and come from."""

    async def consumer(
        self, group: str, topics: Sequence[str], *, start: Mapping[Partition, int] | None = None
    ) -> Consumer:
        """Join ``group``. A new group starts at the earliest record that is still kept.

        Args:
            group: Whose committed offsets to go on from, and what retention waits for.
            topics: What to read; at least one.
            start: Where to read on instead, for a group that keeps its own offsets with its effects: by
                partition, the next offset. What it does not name is read from the earliest record.
        """
        ...

    async def close(self) -> None:
        """Release what the log itself holds; consumers are closed by their owners first."""
        ...


class RangeReader(Protocol):
    """Reads a stretch of the log again, for nobody's group: no offset moves, and nothing is held."""

    def read_range(
        self, partition: Partition, first: int, last: int
    ) -> AsyncGenerator[Sequence[LogRecord], None]:
        """The records with offsets from ``first`` to ``last``, both included, in order and in small batches.

        What is not kept any more is left out, without a word. Close it when you stop before its end.

        Raises:
            LogUnavailableError: Retryable; the log cannot be read now.
        """
        ...


class Bounds(NamedTuple):
    """A stretch of a partition: from offset ``first`` up to and without ``end``."""

    first: int
    end: int


class LogTail(Protocol):
    """Looks at the log for nobody's group: no offset moves, and nothing is held."""

    async def bounds(self, topics: Collection[str], from_us: int) -> Mapping[Partition, Bounds]:
        """Where everything since a moment is, and possibly more; partitions without anything are left out.

        Args:
            topics: Whose partitions to look at.
            from_us: Microseconds since the Unix epoch.

        Raises:
            LogUnavailableError: Retryable; the log cannot be read now.
        """
        ...

    def follow(
        self, topics: Collection[str], *, from_start: bool
    ) -> AsyncGenerator[Sequence[LogRecord], None]:
        """New records as they come, in order within each partition, for ever; close it when you stop.

        Args:
            topics: What to read.
            from_start: Begin with the oldest records that are kept.

        Raises:
            LogUnavailableError: Retryable; the log cannot be read now.
        """
        ...
