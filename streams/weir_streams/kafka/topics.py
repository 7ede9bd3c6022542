"""The topics of an installation: what they should be, how they are, and making them so."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
from aiokafka.admin import (  # type: ignore[import-untyped]
    AIOKafkaAdminClient,
    NewPartitions,
    NewTopic,
)
from aiokafka.admin.config_resource import (  # type: ignore[import-untyped]
    ConfigResource,
    ConfigResourceType,
)
from aiokafka.errors import (  # type: ignore[import-untyped]
    InvalidConfigurationError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
    for_code,
)

from weir_streams.events import (
    ALERT_TOPIC,
    ANALYTICS_TOPIC,
    BUDGET_USAGE_TOPIC,
    DEAD_LETTER_TOPIC,
    PROXY_LOG_TOPIC,
    SPEND_TOPIC,
)
from weir_streams.kafka.closing import close_connections
from weir_streams.kafka.config_topic import config_topic
from weir_streams.kafka.failures import translated
from weir_streams.kafka.reaching import reach
from weir_streams.kafka.settings import KafkaSettings
from weir_streams.kafka.topic_configs import set_configs
from weir_streams.payloads import EDGE_PAYLOAD_RESULT_TOPIC, EDGE_PAYLOAD_TOPIC

PLUGIN_EVENT_TOPIC: Final = "weir.plugin-event.v1"

_DAY_MS: Final = 24 * 3600 * 1000
_MIB: Final = 1024 * 1024
# Headers, key and the batch's own bytes come on top of what is promised about a value.
_OVERHEAD: Final = 64 * 1024
_EVENT_BYTES: Final = _MIB + _OVERHEAD
_EDGE_PAYLOAD_BYTES: Final = 2 * _MIB + _OVERHEAD
# An LLM with its attachments, each of which the management API takes up to a MiB of.
_CONFIG_BYTES: Final = 2 * _MIB + _OVERHEAD
# A clock that takes its own zone's time for UTC is up to 14 hours ahead; events may be of any age.
_TIMES: Final = {
    "message.timestamp.after.max.ms": str(7 * _DAY_MS),
    "message.timestamp.before.max.ms": str(2**63 - 1),
}
"""Brokers have these since 3.6; older ones, and others that speak the protocol, refuse or ignore them."""


class TopicOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator chooses. Retentions in milliseconds.

    Args:
        partitions: Of each topic whose keys spread over apps.
        replication_factor: Copies; None leaves it to the cluster.
        min_insync_replicas: Copies that must be written; None means one less than there are, at least 1.
        proxy_log_ms: Retention of proxy logs.
        analytics_ms: Retention of analytics events.
        budget_usage_ms: Retention of budget events.
        namespaces: Whose configuration has a topic; the empty text is the default namespace.
    """

    partitions: int = 6
    replication_factor: int | None = None
    min_insync_replicas: int | None = None
    proxy_log_ms: int = 7 * _DAY_MS
    analytics_ms: int = 30 * _DAY_MS
    budget_usage_ms: int = 38 * _DAY_MS
    namespaces: tuple[str, ...] = ("",)


class Topic(msgspec.Struct, frozen=True, kw_only=True):
    """One topic as it should be. ``replication_factor`` -1 is the cluster's own."""

    name: str
    partitions: int
    replication_factor: int
    configs: dict[str, str]


class Difference(msgspec.Struct, frozen=True):
    """Something about a topic that is not as it should be. ``is`` None: there is no such topic."""

    topic: str
    what: str
    found: str | None
    wanted: str
    note: str = ""

    def __str__(self) -> str:
        if self.found is None:
            return f"{self.topic}: does not exist"
        tail = f" ({self.note})" if self.note else ""
        return f"{self.topic}: {self.what} is {self.found}, should be {self.wanted}{tail}"

    @property
    def mended(self) -> str:
        """The same once it is as it should be."""
        if self.found is None:
            return f"{self.topic}: made with {self.wanted}"
        return f"{self.topic}: {self.what} was {self.found}, is {self.wanted}"


def planned_topics(settings: KafkaSettings, options: TopicOptions) -> list[Topic]:
    """Every topic of an installation, in the names of the cluster."""
    wide, single = options.partitions, 1
    plan: list[tuple[str, int, dict[str, str]]] = [
        (PROXY_LOG_TOPIC, wide, _kept(options.proxy_log_ms, _EVENT_BYTES)),
        (ANALYTICS_TOPIC, wide, _kept(options.analytics_ms, _EVENT_BYTES)),
        (BUDGET_USAGE_TOPIC, wide, _kept(options.budget_usage_ms, _EVENT_BYTES)),
        (EDGE_PAYLOAD_TOPIC, wide, _kept(2 * _DAY_MS, _EDGE_PAYLOAD_BYTES)),
        (EDGE_PAYLOAD_RESULT_TOPIC, wide, _kept(2 * _DAY_MS, _EVENT_BYTES)),
        (PLUGIN_EVENT_TOPIC, wide, _kept(_DAY_MS, _EVENT_BYTES)),
        (DEAD_LETTER_TOPIC, single, _kept(14 * _DAY_MS, _EVENT_BYTES)),
        (SPEND_TOPIC, single, _compacted(_EVENT_BYTES)),
        (ALERT_TOPIC, single, _kept(14 * _DAY_MS, _EVENT_BYTES)),
        # The order of its records is what they mean.
        *((config_topic(name), single, _compacted(_CONFIG_BYTES)) for name in options.namespaces),
    ]
    return [
        Topic(
            name=settings.topic(name),
            partitions=partitions,
            replication_factor=options.replication_factor or -1,
            configs=configs | _in_sync(options),
        )
        for name, partitions, configs in plan
    ]


class TopicAdmin:
    """Looks at topics and changes them. Made by ``open_topic_admin``."""

    def __init__(self, client: AIOKafkaAdminClient) -> None:
        self._client = client

    async def differences(self, plan: Sequence[Topic]) -> list[Difference]:
        """What is not as planned; empty when nothing is to be done.

        Raises:
            KafkaRefusedError: A right is missing.
            LogUnavailableError: Retryable; the brokers do not answer.
        """
        with translated("describing topics"):
            found = await self._found([topic.name for topic in plan])
            present = [topic.name for topic in plan if topic.name in found]
            configs = await self._configs(present) if present else {}
        return [
            difference
            for topic in plan
            for difference in _compared(topic, found.get(topic.name), configs.get(topic.name, {}))
        ]

    async def apply(self, plan: Sequence[Topic]) -> list[Difference]:
        """Make the topics as planned; return what was different before.

        Nothing is ever deleted: a topic with more partitions than planned keeps them, and copies are left to
        the cluster's own tools.

        Raises:
            KafkaRefusedError: A right is missing.
            LogUnavailableError: Retryable; the brokers do not answer.
        """
        differences = await self.differences(plan)
        with translated("changing topics"):
            for topic in plan:
                of_topic = [one for one in differences if one.topic == topic.name]
                if any(one.found is None for one in of_topic):
                    await self._create(topic)
                elif of_topic:
                    await self._change(topic, of_topic)
        return differences

    async def _found(self, names: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        found: dict[str, Mapping[str, Any]] = {}
        for topic in await self._client.describe_topics(list(names)):
            error = for_code(topic["error_code"])
            if not topic["error_code"]:
                found[topic["topic"]] = topic
            elif error is not UnknownTopicOrPartitionError:
                raise error(topic["topic"])
        return found

    async def _configs(self, names: Sequence[str]) -> dict[str, dict[str, str]]:
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
        found: dict[str, dict[str, str]] = {}
        for response in await self._client.describe_configs(resources):
            for code, message, _, name, entries in response.resources:
                if code:
                    raise for_code(code)(message)
                found[name] = {entry[0]: entry[1] for entry in entries}
        return found

    async def _create(self, topic: Topic) -> None:
        try:
            await self._create_with(topic, topic.configs)
        except InvalidConfigurationError:
            known = {name: value for name, value in topic.configs.items() if name not in _TIMES}
            await self._create_with(topic, known)

    async def _create_with(self, topic: Topic, configs: dict[str, str]) -> None:
        new = NewTopic(topic.name, topic.partitions, 1, topic_configs=configs)
        # The class refuses -1, the cluster's own number of copies, beside a number of partitions.
        new.replication_factor = topic.replication_factor
        response = await self._client.create_topics([new])
        for name, code, *message in response.topic_errors:
            error = for_code(code)
            # Somebody else made it in between; the next run compares it.
            if code and error is not TopicAlreadyExistsError:
                raise error(f"{name}: {' '.join(str(part) for part in message)}")

    async def _change(self, topic: Topic, differences: Sequence[Difference]) -> None:
        changed = {one.what for one in differences if not one.note}
        if "partitions" in changed:
            await self._client.create_partitions({topic.name: NewPartitions(topic.partitions)})
        configs = {name: value for name, value in topic.configs.items() if name in changed}
        if configs:
            await set_configs(self._client._client, topic.name, configs)


@asynccontextmanager
async def open_topic_admin(settings: KafkaSettings) -> AsyncIterator[TopicAdmin]:
    """Connect.

    Raises:
        KafkaRefusedError: Wrong credentials.
        LogUnavailableError: Retryable; the brokers cannot be reached.
    """
    client = AIOKafkaAdminClient(**await reach(settings))
    try:
        with translated("describing topics"):
            await client.start()
        yield TopicAdmin(client)
    finally:
        await close_connections(client._client)


def _compared(topic: Topic, found: Mapping[str, Any] | None, configs: Mapping[str, str]) -> list[Difference]:
    if found is None:
        return [Difference(topic.name, "topic", None, f"{topic.partitions} partitions")]
    differences = []
    partitions = len(found["partitions"])
    if partitions != topic.partitions:
        note = "partitions are never taken away" if partitions > topic.partitions else ""
        differences.append(Difference(topic.name, "partitions", str(partitions), str(topic.partitions), note))
    copies = min(len(partition["replicas"]) for partition in found["partitions"])
    if topic.replication_factor not in (-1, copies):
        note = "use the cluster's reassignment tool"
        differences.append(
            Difference(topic.name, "replication", str(copies), str(topic.replication_factor), note)
        )
    differences += [
        Difference(topic.name, name, configs.get(name, "unset"), wanted)
        for name, wanted in topic.configs.items()
        if configs.get(name) != wanted and (name in configs or name not in _TIMES)
    ]
    return differences


def _kept(retention_ms: int, most_bytes: int) -> dict[str, str]:
    return {
        "cleanup.policy": "delete",
        "retention.ms": str(retention_ms),
        "max.message.bytes": str(most_bytes),
        **_TIMES,
    }


def _compacted(most_bytes: int) -> dict[str, str]:
    return {"cleanup.policy": "compact", "max.message.bytes": str(most_bytes), **_TIMES}


def _in_sync(options: TopicOptions) -> dict[str, str]:
    least = options.min_insync_replicas or max(1, (options.replication_factor or 1) - 1)
    return {"min.insync.replicas": str(least)}
