"""The tables of the management plane. ``migrations/`` creates them; a test holds the two together."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

metadata: Final = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    }
)

_ID: Final = BigInteger().with_variant(Integer, "sqlite")


def _object_table(name: str, *columns: Column[object] | UniqueConstraint) -> Table:
    """A kind of object: its id is never given out again, and ``revision`` is that of its last change."""
    return Table(
        name,
        metadata,
        Column("id", _ID, primary_key=True),
        *columns,
        Column("revision", BigInteger, nullable=False),
        Column("created_at_us", BigInteger, nullable=False),
        Column("updated_at_us", BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )


def _text(name: str) -> Column[object]:
    return Column(name, Text, nullable=False)


def _json(name: str) -> Column[object]:
    return Column(name, JSON, nullable=False)


def _flag(name: str) -> Column[object]:
    return Column(name, Boolean, nullable=False)


def _paths(name: str) -> Column[object]:
    """Places inside a JSON value: a list of lists of keys and positions."""
    return Column(name, JSON, nullable=False, server_default="[]")


llms: Final = _object_table(
    "llms",
    _text("name"),
    Column("slug", Text, nullable=False, unique=True),
    _text("vendor"),
    _text("api_endpoint"),
    Column("api_key_sealed", LargeBinary),
    Column("default_model", Text),
    _json("allowed_models"),
    _flag("is_active"),
    Column("timeout_seconds", Integer, nullable=False),
    _text("body_capture"),
    _text("namespace"),
    _json("metadata"),
)

plugins: Final = _object_table(
    "plugins",
    _text("name"),
    Column("slug", Text, nullable=False, unique=True),
    _text("description"),
    _text("command"),
    Column("checksum", Text),
    Column("config_sealed", LargeBinary),
    Column("hook_types", JSON(none_as_null=True)),
    _json("collector"),
    _json("service_scopes"),
    _flag("is_active"),
    _text("runtime"),
    _flag("required_for_ready"),
    _text("namespace"),
    Column("probe_ok", Boolean, nullable=False),
    _text("probe_reason"),
    Column("probe_schema", JSON(none_as_null=True)),
    _json("probe_hooks"),
    Column("probed_at_us", BigInteger, nullable=False),
    Column("generation", Integer, nullable=False),
    _paths("kept_secrets"),
)
"""``hook_types`` is NULL where the admin named none: then ``probe_hooks``, what the plugin has, counts.
``kept_secrets`` are the places of values that were given as secrets: whatever the schema says later."""

apps: Final = _object_table(
    "apps",
    _text("name"),
    _text("description"),
    _text("owner_email"),
    Column("user_id", Text),
    _flag("is_active"),
    _text("body_capture"),
    _text("namespace"),
    _json("metadata"),
)

credentials: Final = _object_table(
    "credentials",
    Column("app_id", _ID, ForeignKey("apps.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("key_id", Text, nullable=False, unique=True),
    Column("secret_hash", LargeBinary, nullable=False),
    _text("name"),
    _json("scopes"),
    Column("expires_at_us", BigInteger),
)

model_prices: Final = _object_table(
    "model_prices",
    _text("vendor"),
    _text("model"),
    Column("input", Text),
    Column("output", Text),
    Column("cache_read", Text),
    Column("cache_write", Text),
    Column("reasoning", Text),
    _text("currency"),
    Column("effective_from_us", BigInteger),
)

tokens: Final = _object_table(
    "tokens",
    _text("name"),
    _text("role"),
    Column("key_id", Text),
    Column("secret_hash", LargeBinary, nullable=False, unique=True),
    _flag("from_settings"),
    Column("namespaces", JSON(none_as_null=True)),
)
"""``from_settings`` marks the one token that ``admin_token`` in the settings stands for. ``namespaces`` is
NULL for a token that is bound to none."""

app_llms: Final = Table(
    "app_llms",
    metadata,
    Column("app_id", _ID, ForeignKey("apps.id", ondelete="CASCADE"), primary_key=True),
    Column("llm_id", _ID, ForeignKey("llms.id", ondelete="CASCADE"), primary_key=True, index=True),
)

attachments: Final = Table(
    "attachments",
    metadata,
    Column("llm_id", _ID, ForeignKey("llms.id", ondelete="CASCADE"), primary_key=True),
    Column("plugin_id", _ID, ForeignKey("plugins.id"), primary_key=True, index=True),
    Column("position", Integer, nullable=False),
    Column("timeout_ms", Integer, nullable=False),
    Column("on_error", Text),
    _text("stream_mode"),
    Column("default_app_id", _ID, ForeignKey("apps.id"), index=True),
    _json("response_headers"),
    Column("config_override_sealed", LargeBinary),
    _paths("kept_secrets"),
)

config_head: Final = Table(
    "config_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("revision", BigInteger, nullable=False),
)
"""One row, the newest revision. Every change takes it first, so that revisions commit in order."""

config_publication: Final = Table(
    "config_publication",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("epoch", BigInteger, nullable=False),
    _text("leader"),
    Column("revision", BigInteger, nullable=False),
)
"""One row: who publishes, the how manieth that is, and the newest revision that readers can see."""

config_outbox: Final = Table(
    "config_outbox",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("revision", BigInteger, nullable=False, index=True),
    _text("kind"),
    Column("object_id", _ID, nullable=False),
    sqlite_autoincrement=True,
)
"""What has changed and is not yet published, in the transaction that changed it."""

worker_reports: Final = Table(
    "worker_reports",
    metadata,
    Column("edge_id", Text, primary_key=True),
    Column("role", Text, primary_key=True),
    Column("worker", Text, primary_key=True),
    Column("report", LargeBinary, nullable=False),
    Column("seen_at_us", BigInteger, nullable=False),
)
"""The last word of each process, where several control processes share a Postgres; else nothing."""

audit_log: Final = Table(
    "audit_log",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("at_us", BigInteger, nullable=False),
    Column("revision", BigInteger),
    Column("request_id", Text),
    _text("actor_kind"),
    Column("token_id", BigInteger),
    _text("actor_name"),
    Column("actor_role", Text),
    _text("resource"),
    Column("object_id", BigInteger),
    _text("action"),
    Column("namespace_before", Text),
    Column("namespace_after", Text),
    _json("changed"),
    Column("before", JSON(none_as_null=True)),
    Column("after", JSON(none_as_null=True)),
    Index(None, "resource", "object_id", "id"),
    Index(None, "token_id", "id"),
    Index(None, "at_us", "id"),
    sqlite_autoincrement=True,
)
"""Who changed what. The database itself refuses to change or delete a row of it."""
