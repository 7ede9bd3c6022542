"""The least rights that each role needs in a cluster that asks for them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from weir_streams.events import (
    ALERT_TOPIC,
    ANALYTICS_TOPIC,
    DEAD_LETTER_TOPIC,
    EVENT_TOPICS,
    SPEND_TOPIC,
)
from weir_streams.kafka.config_publisher import CONFIG_TRANSACTIONAL_ID
from weir_streams.kafka.settings import KafkaSettings
from weir_streams.kafka.topics import PLUGIN_EVENT_TOPIC
from weir_streams.payloads import EDGE_PAYLOAD_RESULT_TOPIC, EDGE_PAYLOAD_TOPIC, SPOOLED_TOPICS

_READ: Final = ("Read", "Describe")
_WRITE: Final = ("Write", "Describe")
_CONFIG_TOPICS: Final = ("weir.config.*",)
_ADMINISTER: Final = ("Create", "Alter", "AlterConfigs", "Describe", "DescribeConfigs")


class Right(NamedTuple):
    """One access control entry. A name that ends in ``*`` is a prefix (pattern type ``prefixed``)."""

    role: str
    operation: str
    resource: str
    name: str


def least_rights(settings: KafkaSettings) -> list[Right]:
    """Every entry that an installation needs, by role."""
    return [
        *_relay(settings),
        *_proxy(settings),
        *_collectors(settings),
        *_control(settings),
        *_streams(settings),
        *_topics(settings),
    ]


def _relay(settings: KafkaSettings) -> Iterator[Right]:
    yield from _on_topics(settings, "relay", _WRITE, (*SPOOLED_TOPICS, PLUGIN_EVENT_TOPIC))


def _proxy(settings: KafkaSettings) -> Iterator[Right]:
    yield from _on_topics(settings, "proxy", _READ, (EDGE_PAYLOAD_RESULT_TOPIC, *_CONFIG_TOPICS))
    yield Right("proxy", "Read", "Group", settings.group("weir.*"))


def _collectors(settings: KafkaSettings) -> Iterator[Right]:
    yield from _on_topics(settings, "collect", _READ, (*EVENT_TOPICS, *_CONFIG_TOPICS))
    # Its own relay sends these, and the results of payloads that Kafka refuses.
    written = (DEAD_LETTER_TOPIC, EDGE_PAYLOAD_TOPIC, EDGE_PAYLOAD_RESULT_TOPIC)
    yield from _on_topics(settings, "collect", _WRITE, written)
    yield Right("collect", "Read", "Group", settings.group("weir.*"))


def _control(settings: KafkaSettings) -> Iterator[Right]:
    yield from _on_topics(settings, "control", _READ, (EDGE_PAYLOAD_TOPIC,))
    yield from _on_topics(settings, "control", _WRITE, (EDGE_PAYLOAD_RESULT_TOPIC, DEAD_LETTER_TOPIC))
    yield from _on_topics(settings, "control", (*_READ, "Write"), _CONFIG_TOPICS)
    for operation in _WRITE:
        yield Right("control", operation, "TransactionalId", settings.group(CONFIG_TRANSACTIONAL_ID))
    yield Right("control", "Read", "Group", settings.group("weir.*"))


def _streams(settings: KafkaSettings) -> Iterator[Right]:
    yield from _on_topics(settings, "streams", _READ, (ANALYTICS_TOPIC,))
    yield from _on_topics(settings, "streams", _WRITE, (SPEND_TOPIC, ALERT_TOPIC))
    yield Right("streams", "Read", "Group", settings.group("weir.*"))


def _topics(settings: KafkaSettings) -> Iterator[Right]:
    for operation in _ADMINISTER:
        yield Right("topics apply", operation, "Topic", settings.topic("weir.*"))


def _on_topics(
    settings: KafkaSettings, role: str, operations: tuple[str, ...], topics: tuple[str, ...]
) -> Iterator[Right]:
    for topic in topics:
        for operation in operations:
            yield Right(role, operation, "Topic", settings.topic(topic))
