"""Events into Kafka: one idempotent producer, used until its first error."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaProducer  # type: ignore[import-untyped]
from aiokafka.errors import (  # type: ignore[import-untyped]
    CorruptRecordException,
    InvalidTimestampError,
    KafkaError,
    MessageSizeTooLargeError,
    PolicyViolationError,
    RecordListTooLargeError,
)
from aiokafka.partitioner import DefaultPartitioner  # type: ignore[import-untyped]

from weir_streams.errors import DeliveryError, RecordRefusedError, TimestampRefusedError
from weir_streams.kafka.closing import close_connections
from weir_streams.kafka.failures import translated
from weir_streams.kafka.reaching import reach
from weir_streams.kafka.settings import KafkaSettings, RelaySettings
from weir_streams.kafka.stamps import Stamp
from weir_streams.log import Partition

_MOST_KEYS: Final = 65536
_ABANDON_WITHIN_S: Final = 5.0
_LARGER: Final = "it is larger than the topic takes; run weir topics apply"
_REFUSALS: Final[Mapping[type[KafkaError], str]] = {
    CorruptRecordException: "the broker cannot read it; compare the releases of the brokers and of weir",
    MessageSizeTooLargeError: _LARGER,
    PolicyViolationError: "a policy of the cluster forbids it; ask who runs that",
    RecordListTooLargeError: _LARGER,
}


class Outgoing(NamedTuple):
    """One record as it goes to Kafka, and where it came from. ``alone`` keeps it out of others' batches.

    A record without a value takes its key out of a compacted topic.
    """

    source: Partition
    seq: int
    key: bytes
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]
    timestamp_ms: int
    alone: bool = False
    stamp: Stamp = Stamp.OWN


class Batch:
    """Records of one partition that are acknowledged or refused together."""

    def __init__(self, topic: str, partition: int, builder: Any) -> None:
        self.topic = topic
        self.partition = partition
        self.records: list[Outgoing] = []
        self._builder = builder
        self._acknowledged: asyncio.Future[Any] | None = None

    def add(self, record: Outgoing) -> bool:
        """Append a record; False when it does not fit any more."""
        added = self._builder.append(
            timestamp=record.timestamp_ms, key=record.key, value=record.value, headers=record.headers
        )
        if added is not None:
            self.records.append(record)
        return added is not None

    async def submit(self, producer: AIOKafkaProducer) -> None:
        """Queue it behind the partition's last batch; waits while that was not taken up."""
        self._builder.close()
        self._acknowledged = await producer.send_batch(self._builder, self.topic, partition=self.partition)

    async def acknowledged(self) -> None:
        """Wait until every in-sync replica has it.

        Raises:
            TimestampRefusedError: Not with these times.
            RecordRefusedError: It will never be taken as it is.
            DeliveryError: Retryable, with a new producer.
        """
        assert self._acknowledged is not None, "the batch was not submitted"
        try:
            await self._acknowledged
        except InvalidTimestampError as error:
            raise TimestampRefusedError(
                f"{self} was refused for its time; compare the clocks of this host and of the brokers, and "
                "run weir topics apply"
            ) from error
        except tuple(_REFUSALS) as error:
            said = f"{type(error).__name__} ({_REFUSALS.get(type(error), 'see the log of the brokers')})"
            raise RecordRefusedError(f"{self} was refused: {said}") from error
        except KafkaError as error:
            raise DeliveryError(f"{self} was not taken: {str(error) or type(error).__name__}") from error

    def __str__(self) -> str:
        return f"a batch of {len(self.records)} records for {self.topic}/{self.partition}"


class Publisher:
    """A producer that is open. After any error it is abandoned, since a sequence number may be missing then.

    Args:
        producer: Idempotent, and started.
        settings: The names of topics.
    """

    def __init__(self, producer: AIOKafkaProducer, settings: KafkaSettings) -> None:
        self._producer = producer
        self._settings = settings
        self._partitioner = DefaultPartitioner()
        self._partition_of: dict[tuple[str, bytes], int] = {}
        self._partitions: dict[str, list[int]] = {}

    @classmethod
    async def open(cls, settings: KafkaSettings, relay: RelaySettings) -> Publisher:
        """Connect.

        Raises:
            KafkaRefusedError: Wrong credentials or missing rights.
            LogUnavailableError: Retryable; the brokers cannot be reached.
        """
        options = await reach(settings)
        producer = AIOKafkaProducer(
            **options,
            acks="all",
            enable_idempotence=True,
            compression_type=None if relay.compression == "none" else relay.compression,
            max_batch_size=relay.batch_bytes,
            max_request_size=2**31 - 1,
        )
        publisher = cls(producer, settings)
        try:
            with translated("opening a producer"):
                async with asyncio.timeout(settings.request_timeout_s):
                    await producer.start()
        except BaseException:
            await publisher.abandon()
            raise
        return publisher

    async def send(self, records: Iterable[Outgoing]) -> list[Batch]:
        """Hand records to the producer, in order per partition; return what will be acknowledged.

        Waits while earlier batches of the same partitions have not left.

        Raises:
            DeliveryError: Retryable; a topic is missing, or its partition has had no leader for too long.
        """
        try:
            batches = await self._batched(records)
            for batch in batches:
                await batch.submit(self._producer)
        except KafkaError as error:
            raise DeliveryError(f"records cannot be sent: {str(error) or type(error).__name__}") from error
        return batches

    async def abandon(self) -> None:
        """Close the connections; what is not acknowledged may or may not have arrived."""
        await abandon(self._producer)

    async def _batched(self, records: Iterable[Outgoing]) -> list[Batch]:
        batches: list[Batch] = []
        filling: dict[tuple[str, int], Batch] = {}
        for record in records:
            topic = self._settings.topic(record.source.topic)
            place = topic, await self._partition(topic, record.key)
            batch = None if record.alone else filling.get(place)
            if batch is None or not batch.add(record):
                batch = Batch(*place, self._producer.create_batch())
                batch.add(record)
                batches.append(batch)
                filling[place] = batch
            if record.alone:
                del filling[place]
        return batches

    async def _partition(self, topic: str, key: bytes) -> int:
        known = self._partition_of.get((topic, key))
        if known is not None:
            return known
        partitions = sorted(await self._producer.partitions_for(topic))
        if partitions != self._partitions.get(topic) or len(self._partition_of) >= _MOST_KEYS:
            self._partition_of.clear()
            self._partitions[topic] = partitions
        chosen: int = self._partitioner(key, partitions, partitions)
        self._partition_of[topic, key] = chosen
        return chosen


async def abandon(producer: AIOKafkaProducer) -> None:
    """Close a producer's connections, whatever it still has to send."""
    with contextlib.suppress(TimeoutError, KafkaError, OSError):
        async with asyncio.timeout(_ABANDON_WITHIN_S):
            # The client's own ``stop`` would go on sending until everything has arrived.
            await close_connections(producer.client)
            producer._closed = True
            await producer._sender.close()
