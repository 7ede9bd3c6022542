"""One member of a Kafka consumer group, with the manners that ``weir_streams.log`` promises."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition  # type: ignore[import-untyped]
from aiokafka.errors import CommitFailedError, IllegalStateError  # type: ignore[import-untyped]

from weir_core.clock import Clock
from weir_streams.errors import LogUnavailableError, TopicMissingError
from weir_streams.kafka.closing import stop_consumer
from weir_streams.kafka.failures import translated
from weir_streams.kafka.settings import KafkaSettings
from weir_streams.kafka.tenure import Tenures
from weir_streams.log import LogRecord, Partition
from weir_streams.reports import Logger

_CLOSE_WITHIN_S: Final = 10.0
_CLOSE_IN_REBALANCE_WITHIN_S: Final = 1.0


class KafkaConsumer:
    """Belongs to one event loop. Only ``close`` may be called beside a ``poll`` that was cancelled.

    A rebalance takes every partition away and gives most of them back. Those are read on where they were,
    so that only what really moved is lost.

    Args:
        client: Not started, without topics.
        settings: Times and names.
        topics: As the event path calls them.
        start: Where to read on at the first assignment instead of at the group's offsets.
        clock: Measures how long to wait.
        logger: Told of rebalances and of records that were missing.
    """

    def __init__(
        self,
        client: AIOKafkaConsumer,
        settings: KafkaSettings,
        topics: Sequence[str],
        start: Mapping[Partition, int] | None,
        clock: Clock,
        logger: Logger,
    ) -> None:
        self._client = client
        self._settings = settings
        self._topics = topics
        self._start = start
        self._clock = clock
        self._logger = logger
        self._tenures = Tenures()
        self._unread: set[Partition] = set()
        self._adopting = asyncio.Lock()
        self._assigned = asyncio.Event()
        self._committed = asyncio.Event()
        self._epoch = 0
        self._closed = False
        self._closing: asyncio.Task[None] | None = None

    @property
    def is_closed(self) -> bool:
        """Whether it has left, or is about to."""
        return self._closed

    async def join(self) -> None:
        """Become a member and wait for the first assignment.

        Raises:
            TopicMissingError: Retryable; a topic does not exist.
            KafkaRefusedError: Wrong credentials or missing rights.
            LogUnavailableError: Retryable; the brokers cannot be reached.
        """
        with translated("joining a consumer group"):
            async with asyncio.timeout(self._settings.request_timeout_s):
                await self._client.start()
                known = await self._client.topics()
        wanted = [self._settings.topic(topic) for topic in self._topics]
        missing = [topic for topic in wanted if topic not in known]
        if missing:
            raise TopicMissingError(f"Kafka has no topic {', '.join(missing)}; run weir topics apply")
        self._client.subscribe(wanted, listener=_Listener(self))
        with translated("joining a consumer group"):
            async with asyncio.timeout(self._settings.request_timeout_s):
                await self._assigned.wait()

    async def poll(self, max_records: int, timeout_s: float) -> Sequence[LogRecord]:
        """Return the next records, in order within each partition; wait up to ``timeout_s`` for the first.

        While Kafka is away or the group is rebalanced there are none.

        Raises:
            LogUnavailableError: Retryable; the membership is broken, or the consumer was closed.
            KafkaRefusedError: A right is missing.
        """
        if self._closed:
            raise LogUnavailableError("the consumer was closed; join the group again")
        deadline = self._clock.monotonic() + timeout_s
        with contextlib.suppress(TimeoutError):
            # Not wait_for: Python 3.11's may swallow a cancellation that comes with the assignment.
            async with asyncio.timeout(timeout_s):
                await self._assigned.wait()
        if not self._assigned.is_set():
            return []
        await self._commit_due()
        await self._adopt()
        epoch = self._epoch
        left_ms = max(0, round((deadline - self._clock.monotonic()) * 1000))
        with translated("reading"):
            batches = await self._client.getmany(timeout_ms=left_ms, max_records=max_records)
        if epoch != self._epoch:
            # Which assignment they were read under is not known. Whoever asked for the lag meanwhile may have
            # adopted the new one before they were taken, so the next poll goes back to before them.
            self._unread.update(self._tenures.held_of(map(self._partition, batches)))
            return []
        return self._hand_out(batches)

    def lost(self) -> Collection[Partition]:
        """Partitions that this member does not hold any more, or holds from another place on."""
        return self._tenures.take_lost()

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Durably store, per partition, the offset of the next record to read (last finished + 1).

        Offsets only grow. Partitions that are not this member's are passed over. What a rebalance keeps from
        being stored is stored after it, or read again by the partition's next owner.

        Raises:
            LogUnavailableError: Retryable; the brokers do not answer.
            KafkaRefusedError: A right is missing.
        """
        self._tenures.want(offsets)
        await self._commit_due()

    async def lag(self) -> Mapping[Partition, int]:
        """Records that are not committed, per partition that this member holds.

        Raises:
            LogUnavailableError: Retryable; the brokers do not answer.
        """
        await self._adopt()
        partitions = [self._kafka(partition) for partition in self._tenures]
        with translated("asking for the end of partitions"):
            async with asyncio.timeout(self._settings.request_timeout_s):
                ends = await self._client.end_offsets(partitions) if partitions else {}
        return self._tenures.lag({self._partition(tp): end for tp, end in ends.items()})

    async def close(self) -> None:
        """Leave the group; a member with a name of its own keeps its place for a restart. Commits nothing."""
        self._closed = True
        self._committed.set()
        if self._closing is None:
            self._closing = asyncio.create_task(stop_consumer(self._client))
        # In a rebalance the client waits until the other members have let go. This one holds nothing then,
        # so the rest may happen after us.
        within_s = _CLOSE_WITHIN_S if self._assigned.is_set() else _CLOSE_IN_REBALANCE_WITHIN_S
        done, _ = await asyncio.wait((self._closing,), timeout=within_s)
        if not done:
            self._logger.info("consumer not closed yet", topics=list(self._topics))

    async def hand_over(self) -> None:
        """Before a rebalance: wait until what was handed out is committed, within ``handover_s``."""
        self._epoch += 1
        self._assigned.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.handover_s):
                while not (self._closed or self._tenures.is_clear()):
                    self._committed.clear()
                    await self._committed.wait()

    def take_over(self, assigned: Collection[TopicPartition]) -> None:
        """After a rebalance: note what is held now; the next poll finds out where to read on."""
        self._epoch += 1
        held = {self._partition(tp) for tp in assigned}
        self._tenures.keep_only(held)
        self._unread = held
        self._assigned.set()
        self._logger.info("partitions assigned", partitions=[f"{p.topic}/{p.name}" for p in sorted(held)])

    async def _adopt(self) -> None:
        """Find out where each assigned partition is read on, and go there."""
        async with self._adopting:
            while self._unread:
                epoch = self._epoch
                partition = next(iter(self._unread))
                with translated("asking for committed offsets"):
                    async with asyncio.timeout(self._settings.request_timeout_s):
                        stored = await self._client.committed(self._kafka(partition))
                        first = await self._first(partition, stored)
                if not self._assigned.is_set():
                    return
                if epoch == self._epoch:
                    self._client.seek(self._kafka(partition), self._tenures.take(partition, stored, first))
                    self._unread.discard(partition)
            self._start = None

    async def _first(self, partition: Partition, stored: int | None) -> int:
        named = self._start.get(partition) if self._start is not None else stored
        if named is not None:
            return named
        beginnings = await self._client.beginning_offsets([self._kafka(partition)])
        return int(beginnings[self._kafka(partition)])

    def _hand_out(self, batches: Mapping[TopicPartition, Sequence[Any]]) -> list[LogRecord]:
        records: list[LogRecord] = []
        for tp, batch in batches.items():
            partition = self._partition(tp)
            gap = self._tenures.hand_out(partition, batch[0].offset, batch[-1].offset)
            if gap is not None:
                self._logger.error(
                    "records were deleted before they were read",
                    topic=partition.topic,
                    partition=partition.name,
                    expected_offset=gap.expected,
                    found_offset=gap.found,
                )
            records += [
                LogRecord(partition, record.offset, record.key or b"", record.value or b"")
                for record in batch
            ]
        return records

    async def _commit_due(self) -> None:
        due = self._tenures.due()
        if not due:
            return
        try:
            with translated("committing offsets"):
                async with asyncio.timeout(self._settings.request_timeout_s):
                    await self._commit_now(due)
        finally:
            self._committed.set()

    async def _commit_now(self, due: Mapping[Partition, int]) -> None:
        try:
            await self._client.commit({self._kafka(partition): offset for partition, offset in due.items()})
        except (CommitFailedError, IllegalStateError) as error:
            self._logger.info("offsets wait for the group's rebalance", reason=str(error))
        else:
            self._tenures.committed(due)

    def _kafka(self, partition: Partition) -> TopicPartition:
        return TopicPartition(self._settings.topic(partition.topic), int(partition.name))

    def _partition(self, tp: TopicPartition) -> Partition:
        return Partition(self._settings.own_name(tp.topic), str(tp.partition))


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self, consumer: KafkaConsumer) -> None:
        self._consumer = consumer

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        if revoked:
            await self._consumer.hand_over()

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        self._consumer.take_over(assigned)
