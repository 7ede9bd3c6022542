"""Looking at the Kafka log for nobody's group: where it ends, and what comes next."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final, Literal

from aiokafka import AIOKafkaConsumer, TopicPartition  # type: ignore[import-untyped]

from weir_streams.errors import TopicMissingError
from weir_streams.kafka.closing import stop_consumer
from weir_streams.kafka.failures import translated
from weir_streams.kafka.reaching import reach
from weir_streams.kafka.settings import KafkaSettings
from weir_streams.log import Bounds, LogRecord, Partition

_POLL_MS: Final = 500


class KafkaTail:
    """The ``LogTail`` of the Kafka log.

    Args:
        settings: The cluster and the names in it.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings

    async def bounds(self, topics: Collection[str], from_us: int) -> Mapping[Partition, Bounds]:
        """See ``LogTail.bounds``. Kafka keeps a record under its event's own moment."""
        async with self._client(topics) as client:
            places = client.assignment()
            with translated("asking for the bounds of partitions"):
                async with asyncio.timeout(self._settings.request_timeout_s):
                    firsts = await client.offsets_for_times(dict.fromkeys(places, from_us // 1000))
                    ends = await client.end_offsets(places)
        return {
            self._partition(place): Bounds(found.offset, ends[place])
            for place, found in firsts.items()
            if found is not None
        }

    async def follow(
        self, topics: Collection[str], *, from_start: bool
    ) -> AsyncGenerator[Sequence[LogRecord], None]:
        """See ``LogTail.follow``."""
        # Not by a seek, behind which the client may still have what it read ahead at its first place.
        async with self._client(topics, "earliest" if from_start else "latest") as client:
            with translated("finding the places to begin at"):
                async with asyncio.timeout(self._settings.request_timeout_s):
                    for place in client.assignment():
                        await client.position(place)
            while True:
                with translated("reading"):
                    batches = await client.getmany(timeout_ms=_POLL_MS)
                records = [
                    LogRecord(self._partition(place), record.offset, record.key or b"", record.value or b"")
                    for place, batch in batches.items()
                    for record in batch
                ]
                if records:
                    yield records

    @asynccontextmanager
    async def _client(
        self, topics: Collection[str], begin: Literal["earliest", "latest"] = "earliest"
    ) -> AsyncIterator[AIOKafkaConsumer]:
        """A consumer of no group, which has every partition of the topics."""
        options = await reach(self._settings)
        names = [self._settings.topic(topic) for topic in topics]
        # One that is started with a topic that is not there waits for it.
        async with self._started(AIOKafkaConsumer(**options)) as client:
            with translated("reading the topics"):
                missing = set(names) - await client.topics()
        if missing:
            listed = ", ".join(sorted(missing))
            raise TopicMissingError(f"Kafka has no topic {listed}; run weir topics apply")
        client = AIOKafkaConsumer(*names, **options, enable_auto_commit=False, auto_offset_reset=begin)
        async with self._started(client):
            yield client

    @asynccontextmanager
    async def _started(self, client: AIOKafkaConsumer) -> AsyncIterator[AIOKafkaConsumer]:
        try:
            with translated("connecting"):
                async with asyncio.timeout(self._settings.request_timeout_s):
                    await client.start()
            yield client
        finally:
            await stop_consumer(client)

    def _partition(self, place: TopicPartition) -> Partition:
        return Partition(self._settings.own_name(place.topic), str(place.partition))
