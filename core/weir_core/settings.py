"""Every setting of Weir, in one frozen value; where they come from is in ``settings_sources``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, ByteSize, Field, SecretStr

from weir_core.kafka_options import KafkaOptions
from weir_core.options_table import OptionsTable
from weir_core.retention_options import RetentionOptions
from weir_core.streams_options import StreamsOptions

_NAMESPACE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_MIB: Final = 1024 * 1024
_GIB: Final = 1024 * _MIB
_SECRETS: Final = frozenset({"admin_token", "encryption_keys", "edge_token", "database_url"})
_NESTED_SECRETS: Final[Mapping[str, Any]] = {"kafka": {"sasl_password"}, "streams": {"webhook_secret"}}
NEVER_SHOWN: Final = (
    _SECRETS
    | {f"{table}.{name}" for table, names in _NESTED_SECRETS.items() for name in names}
    | {"elasticsearch_url", "control_url"}
)
"""By dotted name, what no message repeats: an address given wrongly may have a password in it."""


def _known_database(value: SecretStr | None) -> SecretStr | None:
    schemes = ("sqlite:///", "sqlite+aiosqlite:///", "postgresql://", "postgresql+asyncpg://", "postgres://")
    if value is not None and not value.get_secret_value().startswith(schemes):
        raise ValueError("must begin with sqlite:/// or postgresql://; leave it out for weir.db in data_dir")
    return value


def _namespace(value: str) -> str:
    # As the management API has it for objects: any other is nobody's, and no topic's name.
    if value and not _NAMESPACE.fullmatch(value):
        raise ValueError(
            "must begin with a letter or a digit and have only these, dots, underscores and hyphens"
        )
    return value


def _http_url(value: str | None) -> str | None:
    if value is not None and not re.fullmatch(r"https?://[^@\s/]+(/[^@\s]*)?", value):
        raise ValueError("must begin with https:// or http:// and a host, without user and password")
    return value


def _split_commas(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _absolute_paths(paths: tuple[str, ...] | None) -> tuple[str, ...] | None:
    for path in paths or ():
        if not path.startswith("/"):
            raise ValueError(f"{path!r} is not an absolute path")
    return paths


_Names = Annotated[tuple[str, ...], BeforeValidator(_split_commas)]


class SpoolOptions(OptionsTable):
    """The ``[spool]`` table: how durable events are, and how long they stay for replay."""

    sync: Literal["interval", "always"] = Field(
        default="interval",
        description="What a power cut may cost: `interval` flushes to disk every 100 ms, `always` before "
        "each answer ends. A killed process loses nothing either way.",
    )
    segment_bytes: ByteSize = Field(
        default=ByteSize(64 * _MIB), ge=_MIB, le=_GIB, description="Size of one spool file, allocated ahead."
    )
    retention_hours: float = Field(
        default=24, gt=0, description="Events that every consumer has read are kept this long for replay."
    )
    retention_bytes: ByteSize = Field(
        default=ByteSize(_GIB), ge=0, description="Beyond this many bytes of them, the oldest go earlier."
    )
    max_bytes: ByteSize = Field(
        default=ByteSize(10 * _GIB),
        ge=16 * _MIB,
        description="The spool's size (never more than half the free disk) at which new requests are "
        "refused with 503 `spool_full`.",
    )


class Settings(OptionsTable):
    """What an installation decides. See ``docs/settings.md``, which is made from this class."""

    data_dir: Path = Field(
        default=Path("weir-data"),
        description="Directory of the database, the spool, the keys and the sockets.",
    )
    host: str = Field(
        default="127.0.0.1", min_length=1, description="Address to listen on; IPv4, IPv6 or a host name."
    )
    port: int = Field(default=3000, ge=0, le=65535, description="TCP port; 0 takes any free one.")
    admin_host: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="Address of the admin listener, which exists where `admin_port` is set; only machines "
        "that may see metrics should reach it.",
    )
    admin_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="TCP port of the admin listener: `/metrics`, `/docs`, `/openapi.json`, the management "
        "API and `/health`, without model calls. `port` has the first three only while `host` is a loopback "
        "address; unset, a gateway that others reach has them nowhere.",
    )
    tls_certificate_file: str | None = Field(
        default=None,
        description="PEM file of the certificate, and of those that vouch for it, with which every TCP "
        "listener speaks TLS; unset means plain HTTP. It is read when a process starts.",
    )
    tls_key_file: str | None = Field(
        default=None,
        description="PEM file of its key, without a passphrase; unset means that it is in the "
        "certificate's file.",
    )
    workers: int = Field(default=1, ge=1, le=256, description="Proxy processes that share the port.")
    admin_token: SecretStr | None = Field(
        default=None,
        description="Management token that always works with role admin. When unset, the first start makes "
        "one and prints it once.",
    )
    encryption_keys: SecretStr | None = Field(
        default=None,
        description="AES-256 keys as base64, comma-separated, newest first. When unset, the first start "
        "makes one in `encryption-keys` (mode 0600) in the data directory.",
    )
    database_url: Annotated[SecretStr | None, AfterValidator(_known_database)] = Field(
        default=None,
        description="`postgresql://user:password@host/database?sslmode=verify-full`, or `sqlite:///` and a "
        "path; unset means `weir.db` in the data directory. See docs/postgres.md.",
    )
    elasticsearch_url: Annotated[str | None, AfterValidator(_http_url)] = Field(
        default=None,
        description="Where Elasticsearch collectors write whose config has no `elasticsearch_url`; keys and "
        "passwords belong into their config.",
    )
    control_url: Annotated[str | None, AfterValidator(_http_url)] = Field(
        default=None,
        description="Where `weir proxy` reports how it is: the `https://` address of `weir control`. Calls "
        "are served without it.",
    )
    edge_token: SecretStr | None = Field(
        default=None,
        description="What `weir proxy` reports with: a token of role `edge`, bound to its `edge_namespace`.",
    )
    edge_id: str = Field(default="", max_length=128, description="Name of this gateway in its events.")
    edge_namespace: Annotated[str, AfterValidator(_namespace)] = Field(
        default="",
        max_length=128,
        description="Serve only the objects of this namespace and those without one.",
    )
    log_format: Literal["console", "json"] = Field(
        default="console", description="How log lines are written: `console` or `json`."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info",
        description="The least severity that is logged: `debug`, `info`, `warning` or `error`.",
    )
    shutdown_grace: float = Field(
        default=30,
        ge=0,
        le=3600,
        description="Seconds that requests in flight, and what collectors have in hand, get to finish after "
        "SIGTERM. Five seconds later the process is ended; see docs/roles.md.",
    )
    loop_stall_seconds: float = Field(
        default=20,
        ge=0,
        le=3600,
        description="A child of `weir serve`, `control` or `proxy` whose event loop stands still for so "
        "long, in a plugin's `async def` that blocks for instance, is ended and started anew. `weir collect` "
        "ends with it, and is started by whoever runs it. 0 never ends one.",
    )
    max_request_bytes: ByteSize = Field(
        default=ByteSize(32 * _MIB),
        ge=1024,
        le=_GIB,
        description="Largest request body; more is answered 413.",
    )
    max_response_bytes: ByteSize = Field(
        default=ByteSize(64 * _MIB),
        ge=1024,
        le=_GIB,
        description="Largest answer of an upstream that is not streamed; more is answered 502. Streams have "
        "no limit.",
    )
    header_timeout: float = Field(
        default=10, gt=0, le=3600, description="Seconds a client has to send a request's headers."
    )
    body_timeout: float = Field(
        default=30,
        gt=0,
        le=3600,
        description="Seconds that a client may send its request's body more slowly than 16 KiB a second.",
    )
    max_in_flight: int = Field(
        default=2048,
        ge=1,
        le=65536,
        description="Requests one proxy process works on at a time; more is 503.",
    )
    body_capture_bytes: ByteSize = Field(
        default=ByteSize(256 * 1024),
        ge=0,
        le=384 * 1024,
        description="How much of a body is kept in an event, after encoding.",
    )
    plugin_modules: _Names | None = Field(
        default=None,
        description="Packages that `python://` plugins may come from, comma-separated in the environment. "
        "Unset allows any on the embedded default, and elsewhere only those that come with Weir.",
    )
    plugin_dirs: Annotated[_Names | None, AfterValidator(_absolute_paths)] = Field(
        default=None,
        description="Directories, absolute, that `file://` plugins may be started from, comma-separated in "
        "the environment. Unset allows any on the embedded default, and none elsewhere.",
    )
    plugin_memory_bytes: ByteSize = Field(
        default=ByteSize(0),
        ge=0,
        description="Memory that the process of a `file://` plugin may have, with all that it has started; "
        "beyond it the plugin is ended and started anew. Looked at every second, on Linux only. 0 is any.",
    )
    anonymous_log_limit: int = Field(
        default=100,
        ge=0,
        description="Proxy-log events a second, per proxy process, for requests refused before they were "
        "authenticated; more are only counted.",
    )
    spool: SpoolOptions = SpoolOptions()
    retention: RetentionOptions = RetentionOptions()
    kafka: KafkaOptions = KafkaOptions()
    streams: StreamsOptions = StreamsOptions()

    def without_secrets(self) -> dict[str, Any]:
        """Plain JSON values that make the same settings again, but for tokens, keys and passwords."""
        return self.model_dump(mode="json", exclude={**dict.fromkeys(_SECRETS, True), **_NESTED_SECRETS})

    def for_children(self) -> dict[str, Any]:
        """``without_secrets`` and the passwords that every role needs; never to be shown."""
        plain = self.without_secrets()
        if self.database_url is not None:
            plain["database_url"] = self.database_url.get_secret_value()
        password = self.kafka.sasl_password
        if password is not None:
            plain["kafka"]["sasl_password"] = password.get_secret_value()
        return plain
