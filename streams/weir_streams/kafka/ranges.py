"""Reading a stretch of a Kafka partition again, for nobody's group."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition  # type: ignore[import-untyped]

from weir_streams.errors import TopicMissingError
from weir_streams.kafka.closing import stop_consumer
from weir_streams.kafka.failures import translated
from weir_streams.kafka.reaching import reach
from weir_streams.kafka.settings import KafkaSettings
from weir_streams.log import LogRecord, Partition

_BATCH_RECORDS: Final = 500
_POLL_S: Final = 1.0


class KafkaRanges:
    """The ``RangeReader`` of the Kafka log.

    Args:
        settings: The cluster and the names in it.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings

    async def read_range(
        self, partition: Partition, first: int, last: int
    ) -> AsyncGenerator[Sequence[LogRecord], None]:
        """See ``RangeReader.read_range``.

        Raises:
            TopicMissingError: Retryable; the topic does not exist.
            KafkaRefusedError: Wrong credentials or missing rights.
            LogUnavailableError: Retryable; the brokers cannot be reached.
        """
        place = TopicPartition(self._settings.topic(partition.topic), int(partition.name))
        options = await reach(self._settings)
        client = AIOKafkaConsumer(**options, enable_auto_commit=False, auto_offset_reset="earliest")
        try:
            end = await self._begin(client, place, first, last)
            position = first
            while position < end:
                with translated("reading a range"):
                    async with asyncio.timeout(self._settings.request_timeout_s):
                        batch = await _next(client, place)
                position = batch[-1].offset + 1
                wanted = [
                    LogRecord(partition, record.offset, record.key or b"", record.value or b"")
                    for record in batch
                    if first <= record.offset <= last
                ]
                if wanted:
                    yield wanted
        finally:
            await stop_consumer(client)

    async def _begin(self, client: AIOKafkaConsumer, place: TopicPartition, first: int, last: int) -> int:
        """Go to the first record; return the offset behind the last one that there is to read."""
        with translated("reading a range"):
            async with asyncio.timeout(self._settings.request_timeout_s):
                await client.start()
                if place.topic not in await client.topics():
                    raise TopicMissingError(f"Kafka has no topic {place.topic}; run weir topics apply")
                client.assign([place])
                beginnings = await client.beginning_offsets([place])
                ends = await client.end_offsets([place])
        end = min(last + 1, int(ends[place]))
        start = max(first, int(beginnings[place]))
        client.seek(place, start)
        return end if start < end else 0


async def _next(client: AIOKafkaConsumer, place: TopicPartition) -> Sequence[Any]:
    while True:
        batches = await client.getmany(timeout_ms=round(_POLL_S * 1000), max_records=_BATCH_RECORDS)
        if batches:
            batch: Sequence[Any] = batches[place]
            return batch
