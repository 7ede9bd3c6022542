"""Revisions of the configuration into Kafka: into every topic at once, and by one process at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from aiokafka import AIOKafkaProducer  # type: ignore[import-untyped]

from weir_core.clock import Clock
from weir_core.secrets import KeyRing
from weir_core.snapshot import Snapshot
from weir_streams.config_records import Assembly, ConfigRecord, Published
from weir_streams.errors import TopicMissingError
from weir_streams.kafka.config_topic import EPOCH_HEADER, config_topic, namespace_of, read_config_topics
from weir_streams.kafka.failures import translated
from weir_streams.kafka.publisher import abandon
from weir_streams.kafka.reaching import reach
from weir_streams.kafka.settings import KafkaSettings

CONFIG_TRANSACTIONAL_ID: Final = "weir.config"
"""By it the brokers know who publishes; each new publisher has the one before fenced."""

# A leader that stops in the middle holds readers back for no longer than this.
_TRANSACTION_MS: Final = 10_000
_LOOK_EVERY_S: Final = 5.0
_MOST_MESSAGE_BYTES: Final = 2**31 - 1


@dataclass(slots=True)
class _Term:
    """What lasts from one failure to the next: a producer that fences all earlier ones, and what it found."""

    producer: AIOKafkaProducer
    topics: dict[str, Assembly] = field(default_factory=dict)


class ConfigPublisher:
    """Writes what differs between a revision and the topics, in one transaction.

    The topics that exist say which namespaces are served: ``weir topics apply`` makes them. To begin, the
    broker is asked to take nothing from any earlier publisher, whatever that still has under way; only then
    the topics are read.

    Args:
        settings: The cluster and the names in it.
        keyring: Seals the records with its newest key.
        clock: Says when to look for new topics again.
        within_s: A publication that takes longer has failed.
    """

    def __init__(
        self, settings: KafkaSettings, keyring: KeyRing, clock: Clock, *, within_s: float = 8.0
    ) -> None:
        self._settings = settings
        self._keyring = keyring
        self._clock = clock
        self._look_at = 0.0
        self._within_s = within_s
        self._term: _Term | None = None

    async def publish(self, snapshot: Snapshot, epoch: int) -> None:
        """Bring every topic to this revision; readers see all of it or nothing.

        Raises:
            TopicMissingError: Retryable; there is not even the default namespace's topic.
            KafkaRefusedError: Wrong credentials or missing rights.
            LogUnavailableError: Retryable; the brokers are away or heed a newer publisher. Whether this was
                published is found out by the next call.
        """
        async with self._abandoned_on_failure():
            term = await self._begun()
            written = {
                namespace: assembly.changes(snapshot.for_namespace(namespace), epoch)
                for namespace, assembly in term.topics.items()
            }
            await self._send(term.producer, written)
            for namespace, records in written.items():
                _take_all(term.topics[namespace], records)

    async def published(self) -> Published:
        """What readers have.

        Raises: As ``publish`` does.
        """
        async with self._abandoned_on_failure():
            topics = (await self._begun()).topics.values()
            revisions = (one.closed.revision for one in topics if one.closed is not None)
            return Published(max(one.epoch for one in topics), max(revisions, default=-1))

    async def is_behind(self) -> bool:
        """Whether a topic was made since the last publication; looks for one every five seconds.

        Raises: As ``publish`` does.
        """
        if self._term is None:
            return True
        if self._clock.monotonic() < self._look_at:
            return False
        self._look_at = self._clock.monotonic() + _LOOK_EVERY_S
        async with self._abandoned_on_failure():
            return bool(await self._new_namespaces(self._term))

    async def close(self) -> None:
        """End the connections; what is under way may or may not be published."""
        term, self._term = self._term, None
        if term is not None:
            await _give_up(term.producer)

    @asynccontextmanager
    async def _abandoned_on_failure(self) -> AsyncIterator[None]:
        try:
            with translated("publishing the configuration"):
                async with asyncio.timeout(self._within_s):
                    yield
        except BaseException:
            await self.close()
            raise

    async def _begun(self) -> _Term:
        if self._term is None:
            self._term = _Term(await self._open())
        new = await self._new_namespaces(self._term)
        self._term.topics |= await read_config_topics(self._settings, self._keyring, new)
        if "" not in self._term.topics:
            name = self._settings.topic(config_topic(""))
            raise TopicMissingError(f"Kafka has no topic {name}; run weir topics apply")
        return self._term

    async def _open(self) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(
            **await reach(self._settings),
            acks="all",
            transactional_id=self._settings.group(CONFIG_TRANSACTIONAL_ID),
            transaction_timeout_ms=_TRANSACTION_MS,
            max_request_size=_MOST_MESSAGE_BYTES,
        )
        try:
            # This fences the earlier ones: it waits until the brokers have ended what these had under way.
            await producer.start()
        except BaseException:
            await _give_up(producer)
            raise
        return producer

    async def _new_namespaces(self, term: _Term) -> list[str]:
        names = (await term.producer.client.fetch_all_metadata()).topics()
        own = (
            namespace_of(self._settings.own_name(name))
            for name in names
            if name.startswith(self._settings.prefix)
        )
        return [namespace for namespace in own if namespace is not None and namespace not in term.topics]

    async def _send(self, producer: AIOKafkaProducer, written: Mapping[str, Iterable[ConfigRecord]]) -> None:
        # Not the client's own context: on a failure it would wait for brokers that may be away.
        await producer.begin_transaction()
        sent = [
            await producer.send(
                self._settings.topic(config_topic(namespace)),
                record.value,
                record.key,
                partition=0,
                headers=[(EPOCH_HEADER, b"%d" % record.epoch)],
            )
            for namespace, records in written.items()
            for record in records
        ]
        await asyncio.gather(*sent)
        await producer.commit_transaction()


def _take_all(assembly: Assembly, records: Iterable[ConfigRecord]) -> None:
    for record in records:
        assembly.take(record)


async def _give_up(producer: AIOKafkaProducer) -> None:
    """Close the connections; the brokers end a transaction that is open."""
    await abandon(producer)
    ended = producer._txn_manager.wait_for_transaction_end()
    if ended is not None and ended.done() and not ended.cancelled():
        # The client does not look at why it was fenced, and asyncio would complain of that later.
        ended.exception()
