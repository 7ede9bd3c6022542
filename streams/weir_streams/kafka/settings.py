"""How to reach the brokers, and how a member of a consumer group behaves."""

from __future__ import annotations

import ssl
from typing import Any, Final, Literal

import msgspec

from weir_core.errors import SettingsError

Protocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]

_CLIENT_ID: Final = "weir"
_RETRY_S: Final = 0.5


class Security(msgspec.Struct, frozen=True, kw_only=True):
    """Encryption and identity towards the brokers. Files are PEM.

    Args:
        protocol: ``PLAINTEXT`` or ``SSL``, with ``SASL_`` before it where a user name is needed.
        ca_file: Who signs the brokers' certificates; the system's authorities when None.
        certificate_file: This client's certificate, where the brokers ask for one.
        key_file: Its key; None when that is in ``certificate_file``.
        key_password: Of an encrypted key.
        mechanism: How the user name is proved.
        username: With a ``SASL_`` protocol.
        password: With a ``SASL_`` protocol.
    """

    protocol: Protocol = "PLAINTEXT"
    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None
    key_password: str | None = None
    mechanism: Mechanism = "SCRAM-SHA-512"
    username: str | None = None
    password: str | None = None

    def __post_init__(self) -> None:
        if self.uses_sasl and not (self.username and self.password):
            raise SettingsError(
                f"kafka.security_protocol is {self.protocol}; "
                "it needs kafka.sasl_username and kafka.sasl_password"
            )
        if self.username and not self.uses_sasl:
            raise SettingsError(
                f"kafka.sasl_username is set but kafka.security_protocol is {self.protocol}; "
                "choose SASL_SSL (or SASL_PLAINTEXT) or leave the user name out"
            )
        if not self.uses_tls and (self.ca_file or self.certificate_file):
            raise SettingsError(
                f"kafka.ssl_* files are set but kafka.security_protocol is {self.protocol}; "
                "choose SSL or SASL_SSL or leave them out"
            )

    @property
    def uses_tls(self) -> bool:
        """Whether connections are encrypted."""
        return self.protocol.endswith("SSL")

    @property
    def uses_sasl(self) -> bool:
        """Whether a user name is proved."""
        return self.protocol.startswith("SASL_")

    def tls_context(self) -> ssl.SSLContext | None:
        """What encrypts connections; None where they are not. Blocks: reads the files.

        Raises:
            SettingsError: A file cannot be read or is not what it should be.
        """
        if not self.uses_tls:
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(f"kafka.ssl_ca_file {self.ca_file} cannot be used: {error}") from error
        if self.certificate_file:
            try:
                context.load_cert_chain(self.certificate_file, self.key_file, self.key_password)
            except (OSError, ssl.SSLError) as error:
                raise SettingsError(
                    f"kafka.ssl_certificate_file {self.certificate_file} (key: "
                    f"{self.key_file or 'in the same file'}) cannot be used: {error}"
                ) from error
        return context


class KafkaSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One installation's use of a Kafka cluster. Times in seconds.

    Args:
        bootstrap_servers: ``host:port``, comma-separated.
        prefix: Stands before the names of topics and groups, where installations share a cluster.
        security: Encryption and identity.
        session_timeout_s: A member that was not heard of for so long has lost its partitions.
        handover_s: How long a rebalance waits for what this member has in hand to be committed.
        request_timeout_s: After this a broker that does not answer counts as gone.
        metadata_age_s: How soon a partition that was added is noticed.
    """

    bootstrap_servers: str
    prefix: str = ""
    security: Security = Security()
    session_timeout_s: float = 15.0
    handover_s: float = 10.0
    request_timeout_s: float = 30.0
    metadata_age_s: float = 60.0

    def topic(self, name: str) -> str:
        """A topic's name in the cluster."""
        return self.prefix + name

    def group(self, name: str) -> str:
        """A consumer group's name in the cluster."""
        return self.prefix + name

    def own_name(self, topic: str) -> str:
        """The inverse of ``topic``."""
        return topic.removeprefix(self.prefix)

    def client_options(self) -> dict[str, Any]:
        """What every client of the cluster is made with. Blocks: reads certificates.

        Raises:
            SettingsError: A certificate cannot be used.
        """
        security = self.security
        options: dict[str, Any] = {
            "bootstrap_servers": [server.strip() for server in self.bootstrap_servers.split(",")],
            "client_id": _CLIENT_ID,
            "security_protocol": security.protocol,
            "ssl_context": security.tls_context(),
            "request_timeout_ms": _ms(self.request_timeout_s),
            "metadata_max_age_ms": _ms(self.metadata_age_s),
        }
        if security.uses_sasl:
            options |= {
                "sasl_mechanism": security.mechanism,
                "sasl_plain_username": security.username,
                "sasl_plain_password": security.password,
            }
        return options

    def member_options(self) -> dict[str, Any]:
        """What a member of a consumer group is made with besides.

        Only heartbeats, which run beside the work, say that a member is alive: one whose sink is slow, and
        that therefore does not poll, keeps its partitions.
        """
        return {
            "session_timeout_ms": _ms(self.session_timeout_s),
            "heartbeat_interval_ms": _ms(self.session_timeout_s / 5),
            "rebalance_timeout_ms": _ms(self.handover_s + self.session_timeout_s),
            "max_poll_interval_ms": 2**31 - 1,
            # A process has up to a dozen members, and in a proxy they share the loop with requests: at the
            # client's own tenth of a second an outage of the brokers costs three hundredths of a core.
            "retry_backoff_ms": _ms(_RETRY_S),
            "enable_auto_commit": False,
            "auto_offset_reset": "earliest",
        }


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


Compression = Literal["none", "lz4", "zstd", "gzip", "snappy"]


class RelaySettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the relay works; the defaults were measured (docs/kafka.md).

    Args:
        compression: Of batches on the wire and in Kafka.
        batch_bytes: Largest batch for one partition before it is compressed.
        round_bytes: How much is read from the spools before it is handed to the producer.
        rounds: How many of those may wait for their acknowledgement at a time.
        bytes_per_s: Most event bytes sent in a second, so that catching up leaves the cluster room; 0 is
            no limit.
        drain_s: How long a relay that is asked to stop goes on with what is left.
        commit_s: How often the progress is stored; what was sent since is sent again after a crash.
    """

    compression: Compression = "zstd"
    batch_bytes: int = 512 * 1024
    round_bytes: int = 1024 * 1024
    rounds: int = 3
    bytes_per_s: int = 0
    drain_s: float = 20.0
    commit_s: float = 0.2
