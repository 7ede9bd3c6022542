"""The ``[kafka]`` table: how to reach the brokers, what the topics are like, how the relay works."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import ByteSize, Field, SecretStr

from weir_core.options_table import OptionsTable

_GIB: Final = 1024**3


class KafkaOptions(OptionsTable):
    """Nothing of it counts while ``bootstrap_servers`` is unset: then the spools are the event log."""

    bootstrap_servers: str | None = Field(
        default=None,
        min_length=1,
        description="`host:port` of some brokers, comma-separated. Set, events go to Kafka and collectors "
        "read them there; unset, they read the spools in place.",
    )
    prefix: str = Field(
        default="",
        max_length=64,
        pattern=r"^[A-Za-z0-9._-]*$",
        description="Stands before the names of all topics and consumer groups, for installations that "
        "share a cluster.",
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="Whether connections are encrypted and need a user name."
    )
    ssl_ca_file: str | None = Field(
        default=None,
        description="PEM file of who signs the brokers' certificates; unset means the system's authorities.",
    )
    ssl_certificate_file: str | None = Field(
        default=None, description="PEM file of this client's certificate, where the brokers ask for one."
    )
    ssl_key_file: str | None = Field(
        default=None, description="PEM file of its key; unset means it is in the certificate's file."
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="SCRAM-SHA-512", description="How the user name is proved."
    )
    sasl_username: str | None = Field(default=None, description="User name for a `SASL_` protocol.")
    sasl_password: SecretStr | None = Field(default=None, description="Its password.")
    partitions: int = Field(
        default=6,
        ge=1,
        le=1000,
        description="Partitions of each event topic that `weir topics apply` makes: the most collector "
        "workers that can share a kind of event.",
    )
    replication_factor: int | None = Field(
        default=None, ge=1, le=10, description="Copies of each partition; unset leaves it to the cluster."
    )
    min_insync_replicas: int | None = Field(
        default=None,
        ge=1,
        le=10,
        description="Copies that must be written before an event counts as delivered; unset means one less "
        "than `kafka.replication_factor`, and at least 1.",
    )
    proxy_log_days: float = Field(default=7, gt=0, description="How long the proxy-log topic keeps events.")
    analytics_days: float = Field(default=30, gt=0, description="How long the analytics topic keeps them.")
    budget_usage_days: float = Field(
        default=38, gt=0, description="How long the budget-usage topic does: a budget's period and a week."
    )
    compression: Literal["none", "lz4", "zstd", "gzip", "snappy"] = Field(
        default="zstd", description="How events are compressed on their way to Kafka and in it."
    )
    relay_bytes_per_second: ByteSize = Field(
        default=ByteSize(0),
        ge=0,
        le=100 * _GIB,
        description="Most event bytes a relay sends in a second, so that catching up after an outage "
        "leaves the cluster room; 0 is no limit.",
    )
    relay_drain_seconds: float = Field(
        default=20, ge=0, le=3600, description="How long a relay that is stopped goes on with what is left."
    )
