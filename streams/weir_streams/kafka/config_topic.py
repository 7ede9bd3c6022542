"""The topics that carry the configuration: their names, and reading one of them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition  # type: ignore[import-untyped]

from weir_core.errors import SettingsError
from weir_core.secrets import KeyRing
from weir_core.snapshot import Snapshot
from weir_streams.config_records import Assembly, ConfigRecord
from weir_streams.errors import ConfigUnreadableError, TopicMissingError
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
        self._topic = settings.topic(config_topic(namespace))

    async def read(self) -> Assembly:
        """Everything that stands in it now.

        Raises:
            TopicMissingError: Retryable; there is none.
            KafkaRefusedError: Wrong credentials or missing rights.
            LogUnavailableError: Retryable; the brokers cannot be reached.
        """
        assembly = Assembly(self._keyring, self._namespace)
        async with self._reading() as (client, place):
            await self._read_to_end(client, place, assembly)
        return assembly

    async def follow(self) -> AsyncGenerator[Snapshot, None]:
        """Every closed revision from now on, first the newest there is; waits while the brokers are away.

        Raises:
            ConfigUnreadableError: Retryable; what stands in the topic makes up no revision that can be read.
            TopicMissingError: Retryable; there is none.
            KafkaRefusedError: Wrong credentials or missing rights.
            LogUnavailableError: Retryable; the brokers cannot be reached.
        """
        assembly, last = Assembly(self._keyring, self._namespace), -1
        async with self._reading() as (client, place):
            await self._read_to_end(client, place, assembly)
            while True:
                if assembly.reason:
                    raise ConfigUnreadableError(f"{self._topic}: {assembly.reason}")
                if assembly.closed is not None and assembly.closed.revision > last:
                    last = assembly.closed.revision
                    yield assembly.closed
                await _take_some(client, place, assembly)

    async def _read_to_end(self, client: AIOKafkaConsumer, place: TopicPartition, assembly: Assembly) -> None:
        with translated("reading the configuration"):
            async with asyncio.timeout(self._settings.request_timeout_s):
                end = (await client.end_offsets([place]))[place]
                while await client.position(place) < end:
                    await _take_some(client, place, assembly)

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[tuple[AIOKafkaConsumer, TopicPartition]]:
        options = await reach(self._settings)
        client = AIOKafkaConsumer(
            **options,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            # A leader that died half-way through a revision leaves an open transaction behind.
            isolation_level="read_committed",
        )
        place = TopicPartition(self._topic, 0)
        try:
            with translated("reading the configuration"):
                async with asyncio.timeout(self._settings.request_timeout_s):
                    await client.start()
                    known = await client.topics()
            if self._topic not in known:
                raise TopicMissingError(f"Kafka has no topic {self._topic}; {self._advice()}")
            client.assign([place])
            yield client, place
        finally:
            await client.stop()

    def _advice(self) -> str:
        return "run weir topics apply" + (f" --namespace {self._namespace}" if self._namespace else "")


async def _take_some(client: AIOKafkaConsumer, place: TopicPartition, assembly: Assembly) -> None:
    with translated("reading the configuration"):
        batches = await client.getmany(place, timeout_ms=_POLL_MS)
    for record in batches.get(place, ()):
        assembly.take(_plain(record))


def _plain(record: Any) -> ConfigRecord:
    epoch = next((value for name, value in record.headers if name == EPOCH_HEADER), b"")
    # A record that is not ours counts as written before all of them.
    return ConfigRecord(record.key or b"", record.value, int(epoch) if epoch.isdigit() else -1)
