"""The ``[kafka]`` table in the event path's own terms, and which event log an installation has."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from weir_cli.bootstrap import is_embedded
from weir_core.clock import Clock
from weir_core.errors import SettingsError
from weir_core.kafka_options import KafkaOptions
from weir_core.settings import Settings
from weir_streams.embedded import EmbeddedLog
from weir_streams.events import ANALYTICS_TOPIC, BUDGET_USAGE_TOPIC, EVENT_TOPICS, PROXY_LOG_TOPIC
from weir_streams.kafka.event_log import KafkaEventLog
from weir_streams.kafka.ranges import KafkaRanges
from weir_streams.kafka.settings import KafkaSettings, RelaySettings, Security
from weir_streams.kafka.tail import KafkaTail
from weir_streams.kafka.topics import TopicOptions
from weir_streams.log import LogTail, RangeReader
from weir_streams.reports import Logger
from weir_streams.spool_ranges import SpoolRanges
from weir_streams.spool_tail import SpoolTail

_S_PER_HOUR: Final = 3600
_S_PER_DAY: Final = 24 * _S_PER_HOUR
_MS_PER_DAY: Final = 1000 * _S_PER_DAY


def kafka_settings(options: KafkaOptions) -> KafkaSettings:
    """How to reach the brokers.

    Raises:
        SettingsError: Kafka is not configured, or what is configured does not fit together.
    """
    if options.bootstrap_servers is None:
        raise SettingsError("kafka.bootstrap_servers is not set; give WEIR_KAFKA_BOOTSTRAP_SERVERS")
    password = options.sasl_password
    return KafkaSettings(
        bootstrap_servers=options.bootstrap_servers,
        prefix=options.prefix,
        security=Security(
            protocol=options.security_protocol,
            ca_file=options.ssl_ca_file,
            certificate_file=options.ssl_certificate_file,
            key_file=options.ssl_key_file,
            mechanism=options.sasl_mechanism,
            username=options.sasl_username,
            password=None if password is None else password.get_secret_value(),
        ),
    )


def relay_settings(options: KafkaOptions) -> RelaySettings:
    """How the relay works."""
    return RelaySettings(
        compression=options.compression,
        bytes_per_s=options.relay_bytes_per_second,
        drain_s=options.relay_drain_seconds,
    )


def topic_options(settings: Settings, namespaces: Iterable[str] = ()) -> TopicOptions:
    """What ``weir topics`` makes of the topics.

    Args:
        settings: Whose ``[kafka]`` table says how they are.
        namespaces: Whose configuration has a topic besides the default and this installation's own.
    """
    options = settings.kafka
    return TopicOptions(
        namespaces=tuple(sorted({"", settings.edge_namespace, *namespaces})),
        partitions=options.partitions,
        replication_factor=options.replication_factor,
        min_insync_replicas=options.min_insync_replicas,
        proxy_log_ms=round(options.proxy_log_days * _MS_PER_DAY),
        analytics_ms=round(options.analytics_days * _MS_PER_DAY),
        budget_usage_ms=round(options.budget_usage_days * _MS_PER_DAY),
    )


def topic_retention_s(settings: Settings) -> Mapping[str, float]:
    """By topic, for how long the event log keeps what is decided about, in seconds.

    The spools keep what is not read yet for longer; what they promise is their retention.
    """
    kafka = settings.kafka
    if kafka.bootstrap_servers is None:
        return dict.fromkeys(EVENT_TOPICS, settings.spool.retention_hours * _S_PER_HOUR)
    return {
        PROXY_LOG_TOPIC: kafka.proxy_log_days * _S_PER_DAY,
        ANALYTICS_TOPIC: kafka.analytics_days * _S_PER_DAY,
        BUDGET_USAGE_TOPIC: kafka.budget_usage_days * _S_PER_DAY,
    }


def shares_configuration(settings: Settings) -> bool:
    """Whether the configuration goes out by Kafka: where a database is shared and there is one to lead by."""
    return settings.kafka.bootstrap_servers is not None and not is_embedded(settings)


def open_event_log(
    options: KafkaOptions, data_dir: Path, *, instance: str, clock: Clock, logger: Logger
) -> EmbeddedLog | KafkaEventLog:
    """Kafka where it is configured, else the spools of the data directory.

    Args:
        options: The ``[kafka]`` table.
        data_dir: Where the spools are.
        instance: The name of this process within its groups; the same after a restart, and no other's.
        clock: Paces waiting.
        logger: Told of damage, rebalances and records that were missing.

    Raises:
        SettingsError: The ``[kafka]`` table does not fit together.
    """
    if options.bootstrap_servers is None:
        return EmbeddedLog(data_dir, clock=clock, logger=logger)
    return KafkaEventLog(kafka_settings(options), clock=clock, logger=logger, instance=instance)


def instance_name(data_dir: Path, name: str) -> str:
    """A name for a process of one data directory on one machine; the same after a restart."""
    place = hashlib.sha256(os.fsencode(data_dir.absolute())).hexdigest()[:8]
    return f"{socket.gethostname()}-{place}-{name}"


def open_ranges(options: KafkaOptions, data_dir: Path, clock: Clock) -> RangeReader:
    """What reads a stretch of the installation's event log again.

    Raises:
        SettingsError: The ``[kafka]`` table does not fit together.
    """
    if options.bootstrap_servers is None:
        return SpoolRanges(data_dir, clock.monotonic)
    return KafkaRanges(kafka_settings(options))


def open_tail(options: KafkaOptions, data_dir: Path, clock: Clock) -> LogTail:
    """What looks at the installation's event log for nobody's group.

    Raises:
        SettingsError: The ``[kafka]`` table does not fit together.
    """
    if options.bootstrap_servers is None:
        return SpoolTail(data_dir, clock.monotonic)
    return KafkaTail(kafka_settings(options))
