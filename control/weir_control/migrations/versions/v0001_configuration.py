"""The configuration: what admins set up, who may do so, and the outbox of changes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _create_objects()
    _create_secrets()
    _create_relations()
    _create_publication()


def _create_objects() -> None:
    _object_table(
        "llms",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("vendor", sa.Text(), nullable=False),
        sa.Column("api_endpoint", sa.Text(), nullable=False),
        sa.Column("api_key_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("default_model", sa.Text(), nullable=True),
        sa.Column("allowed_models", sa.JSON(), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("timeout_seconds", sa.Integer(), nullable=False),
        sa.Column("body_capture", sa.Text(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.UniqueConstraint("slug", name="uq_llms_slug"),
    )
    _object_table(
        "plugins",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("command", sa.Text(), nullable=False),
        sa.Column("checksum", sa.Text(), nullable=True),
        sa.Column("config_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("hook_types", sa.JSON(), nullable=True),
        sa.Column("collector", sa.JSON(), nullable=False),
        sa.Column("service_scopes", sa.JSON(), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("runtime", sa.Text(), nullable=False),
        sa.Column("required_for_ready", sa.Boolean(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("probe_ok", sa.Boolean(), nullable=False),
        sa.Column("probe_reason", sa.Text(), nullable=False),
        sa.Column("probe_schema", sa.JSON(), nullable=True),
        sa.Column("probe_hooks", sa.JSON(), nullable=False),
        sa.Column("probed_at_us", sa.BigInteger(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.UniqueConstraint("slug", name="uq_plugins_slug"),
    )
    _object_table(
        "apps",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("owner_email", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=True),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("body_capture", sa.Text(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("metadata", sa.JSON(), nullable=False),
    )
    _object_table(
        "model_prices",
        sa.Column("vendor", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("input", sa.Text(), nullable=True),
        sa.Column("output", sa.Text(), nullable=True),
        sa.Column("cache_read", sa.Text(), nullable=True),
        sa.Column("cache_write", sa.Text(), nullable=True),
        sa.Column("reasoning", sa.Text(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("effective_from_us", sa.BigInteger(), nullable=True),
    )


def _create_secrets() -> None:
    _object_table(
        "credentials",
        sa.Column("app_id", _ID, nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("expires_at_us", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["app_id"], ["apps.id"], name="fk_credentials_app_id", ondelete="CASCADE"),
        sa.UniqueConstraint("key_id", name="uq_credentials_key_id"),
    )
    op.create_index("ix_credentials_app_id", "credentials", ["app_id"])
    _object_table(
        "tokens",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=True),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("from_settings", sa.Boolean(), nullable=False),
        sa.UniqueConstraint("secret_hash", name="uq_tokens_secret_hash"),
    )


def _create_relations() -> None:
    op.create_table(
        "app_llms",
        sa.Column("app_id", _ID, nullable=False),
        sa.Column("llm_id", _ID, nullable=False),
        sa.ForeignKeyConstraint(["app_id"], ["apps.id"], name="fk_app_llms_app_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["llm_id"], ["llms.id"], name="fk_app_llms_llm_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("app_id", "llm_id", name="pk_app_llms"),
    )
    op.create_index("ix_app_llms_llm_id", "app_llms", ["llm_id"])
    op.create_table(
        "attachments",
        sa.Column("llm_id", _ID, nullable=False),
        sa.Column("plugin_id", _ID, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("timeout_ms", sa.Integer(), nullable=False),
        sa.Column("on_error", sa.Text(), nullable=True),
        sa.Column("stream_mode", sa.Text(), nullable=False),
        sa.Column("default_app_id", _ID, nullable=True),
        sa.Column("response_headers", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["llm_id"], ["llms.id"], name="fk_attachments_llm_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["plugin_id"], ["plugins.id"], name="fk_attachments_plugin_id"),
        sa.ForeignKeyConstraint(["default_app_id"], ["apps.id"], name="fk_attachments_default_app_id"),
        sa.PrimaryKeyConstraint("llm_id", "plugin_id", name="pk_attachments"),
    )
    op.create_index("ix_attachments_plugin_id", "attachments", ["plugin_id"])
    op.create_index("ix_attachments_default_app_id", "attachments", ["default_app_id"])


def _create_publication() -> None:
    head = op.create_table(
        "config_head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_config_head"),
    )
    op.bulk_insert(head, [{"id": 1, "revision": 0}])
    op.create_table(
        "config_outbox",
        sa.Column("id", _ID, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("object_id", _ID, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_config_outbox"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_config_outbox_revision", "config_outbox", ["revision"])


def _object_table(name: str, *columns: sa.schema.SchemaItem) -> None:
    op.create_table(
        name,
        sa.Column("id", _ID, nullable=False),
        *columns,
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("created_at_us", sa.BigInteger(), nullable=False),
        sa.Column("updated_at_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=f"pk_{name}"),
        sqlite_autoincrement=True,
    )
