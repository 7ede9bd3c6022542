"""The topics that carry the configuration: their names, and reading one of them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition  # type: ignore[import-untyped]

from weir_core.errors import SettingsError
from weir_core.secrets import KeyRing
from weir_core.snapshot import Snapshot
from weir_streams.config_records import Assembly, ConfigRecord
from weir_streams.errors import ConfigUnreadableError, TopicMissingError
from weir_streams.kafka.closing import stop_consumer
from weir_streams.kafka.failures import translated
from weir_streams.kafka.reaching import reach
from weir_streams.kafka.settings import KafkaSettings

EPOCH_HEADER: Final = "epoch"

_FIRST: Final = "weir.config."
_LAST: Final = ".v1"
# No namespace begins so.
_NO_NAMESPACE: Final = "_"
_NAMESPACE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_POLL_MS: Final = 500


def config_topic(namespace: str) -> str:
    """The topic of what an edge of this namespace sees; the empty text is the default namespace.

    Raises:
        SettingsError: A topic cannot have such a name.
    """
    if namespace and not _NAMESPACE.fullmatch(namespace):
        raise SettingsError(
            f"the namespace {namespace!r} cannot be part of a topic's name; use letters, digits, dots, "
            "underscores and hyphens, and begin with a letter or a digit (WEIR_EDGE_NAMESPACE)"
        )
    return f"{_FIRST}{namespace or _NO_NAMESPACE}{_LAST}"


def namespace_of(topic: str) -> str | None:
    """The inverse of ``config_topic``; None for other topics."""
    if not (topic.startswith(_FIRST) and topic.endswith(_LAST)):
        return None
    name = topic[len(_FIRST) : -len(_LAST)]
    if name == _NO_NAMESPACE:
        return ""
    return name if _NAMESPACE.fullmatch(name) else None


class ConfigTopic:
    """Reads one namespace's topic, always from its beginning: what was compacted away is not missed.

    Args:
        settings: The cluster and the names in it.
        keyring: Opens the records.
        namespace: Whose topic.
    """

    def __init__(self, settings: KafkaSettings, keyring: KeyRing, namespace: str) -> None:
        self._settings = settings
        self._keyring = keyring
        self._namespace = namespace
        self._place = _place(settings, namespace)

    async def read(self) -> Assembly:
        """Everything that stands in it now.

        Raises:
            TopicMissingError: Retryable; there is none.
            KafkaRefusedError: Wrong credentials or missing rights.
            LogUnavailableError: Retryable; the brokers cannot be reached.
        """
        return (await read_config_topics(self._settings, self._keyring, [self._namespace]))[self._namespace]

    async def follow(self) -> AsyncGenerator[Snapshot, None]:
        """Every closed revision from now on, first the newest there is; waits while the brokers are away.

        Raises:
            ConfigUnreadableError: Retryable; what stands in the topic makes up no revision that can be read.
            TopicMissingError: Retryable; there is none.
            KafkaRefusedError: Wrong credentials or missing rights.
            LogUnavailableError: Retryable; the brokers cannot be reached.
        """
        assembly, last = Assembly(self._keyring, self._namespace), -1
        assemblies = {self._place: assembly}
        async with _reading(self._settings, [self._namespace]) as client:
            await _read_to_end(client, assemblies, self._settings.request_timeout_s)
            while True:
                if assembly.reason:
                    raise ConfigUnreadableError(f"{self._place.topic}: {assembly.reason}")
                if assembly.closed is not None and assembly.closed.revision > last:
                    last = assembly.closed.revision
                    yield assembly.closed
                await _take_some(client, assemblies)


async def read_config_topics(
    settings: KafkaSettings, keyring: KeyRing, namespaces: Collection[str]
) -> dict[str, Assembly]:
    """Everything that stands in the topics of these namespaces now, read over the same connections.

    Raises: As ``ConfigTopic.read`` does.
    """
    found = {namespace: Assembly(keyring, namespace) for namespace in namespaces}
    assemblies = {_place(settings, namespace): assembly for namespace, assembly in found.items()}
    if assemblies:
        async with _reading(settings, namespaces) as client:
            await _read_to_end(client, assemblies, settings.request_timeout_s)
    return found


@asynccontextmanager
async def _reading(settings: KafkaSettings, namespaces: Collection[str]) -> AsyncIterator[AIOKafkaConsumer]:
    options = await reach(settings)
    client = AIOKafkaConsumer(
        **options,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        # A leader that died half-way through a revision leaves an open transaction behind.
        isolation_level="read_committed",
    )
    places = {namespace: _place(settings, namespace) for namespace in namespaces}
    try:
        with translated("reading the configuration"):
            async with asyncio.timeout(settings.request_timeout_s):
                await client.start()
                known = await client.topics()
        for namespace, place in places.items():
            if place.topic not in known:
                raise TopicMissingError(f"Kafka has no topic {place.topic}; {_advice(namespace)}")
        client.assign(list(places.values()))
        yield client
    finally:
        await stop_consumer(client)


async def _read_to_end(
    client: AIOKafkaConsumer, assemblies: Mapping[TopicPartition, Assembly], within_s: float
) -> None:
    with translated("reading the configuration"):
        async with asyncio.timeout(within_s):
            for place, end in (await client.end_offsets(list(assemblies))).items():
                while await client.position(place) < end:
                    await _take_some(client, assemblies)


async def _take_some(client: AIOKafkaConsumer, assemblies: Mapping[TopicPartition, Assembly]) -> None:
    with translated("reading the configuration"):
        batches = await client.getmany(timeout_ms=_POLL_MS)
    for place, records in batches.items():
        for record in records:
            assemblies[place].take(_plain(record))


def _place(settings: KafkaSettings, namespace: str) -> TopicPartition:
    return TopicPartition(settings.topic(config_topic(namespace)), 0)


def _advice(namespace: str) -> str:
    return "run weir topics apply" + (f" --namespace {namespace}" if namespace else "")


def _plain(record: Any) -> ConfigRecord:
    epoch = next((value for name, value in record.headers if name == EPOCH_HEADER), b"")
    # A record that is not ours counts as written before all of them.
    return ConfigRecord(record.key or b"", record.value, int(epoch) if epoch.isdigit() else -1)
