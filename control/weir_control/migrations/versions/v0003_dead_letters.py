"""Dead letters with their whole event, and ranges of them; the failures known so far become dead letters."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_RECORDS = {
    "proxy-log": "records_proxy_logs",
    "analytics": "records_analytics",
    "budget-usage": "records_budget_usage",
}
_USER_ID = {"sqlite": "json_extract(r.value, '$.user_id')", "postgresql": "r.value::json ->> 'user_id'"}


def upgrade() -> None:
    _create_dead_letters()
    _create_ranges()
    for kind, records in _RECORDS.items():
        _move(kind, records)
    op.drop_table("collector_failures")


def _create_dead_letters() -> None:
    op.create_table(
        "dead_letters",
        sa.Column("id", _ID, nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("collector", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("retryable", sa.Boolean(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("failed_at_us", sa.BigInteger(), nullable=False),
        sa.Column("timestamp_us", sa.BigInteger(), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("edge_namespace", sa.Text(), nullable=False),
        sa.Column("app_id", sa.BigInteger(), nullable=True),
        sa.Column("llm_id", sa.BigInteger(), nullable=True),
        sa.Column("user_id", sa.Text(), nullable=True),
        sa.Column("value", sa.Text(), nullable=True),
        *_redrive_columns(),
        sa.PrimaryKeyConstraint("id", name="pk_dead_letters"),
        sa.UniqueConstraint("event_id", "collector", name="uq_dead_letters_event_id_collector"),
    )
    for columns in (["failed_at_us", "id"], ["collector", "failed_at_us", "id"], ["state", "id"], ["app_id"]):
        op.create_index(f"ix_dead_letters_{'_'.join(columns)}", "dead_letters", columns)


def _create_ranges() -> None:
    op.create_table(
        "dead_letter_ranges",
        sa.Column("id", _ID, nullable=False),
        sa.Column("collector", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Text(), nullable=False),
        sa.Column("first_offset", sa.BigInteger(), nullable=False),
        sa.Column("last_offset", sa.BigInteger(), nullable=False),
        sa.Column("events", sa.BigInteger(), nullable=False),
        sa.Column("first_timestamp_us", sa.BigInteger(), nullable=False),
        sa.Column("last_timestamp_us", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("opened_at_us", sa.BigInteger(), nullable=False),
        sa.Column("closed_at_us", sa.BigInteger(), nullable=True),
        sa.Column("next_offset", sa.BigInteger(), nullable=False),
        sa.Column("redriven", sa.BigInteger(), nullable=False),
        sa.Column("failed", sa.BigInteger(), nullable=False),
        sa.Column("missing", sa.BigInteger(), nullable=False),
        *_redrive_columns(),
        sa.PrimaryKeyConstraint("id", name="pk_dead_letter_ranges"),
    )
    for columns in (["state", "id"], ["collector", "state"]):
        op.create_index(f"ix_dead_letter_ranges_{'_'.join(columns)}", "dead_letter_ranges", columns)


def _redrive_columns() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("requested_at_us", sa.BigInteger(), nullable=True),
        sa.Column("claimed_by", sa.Text(), nullable=True),
        sa.Column("claimed_until_us", sa.BigInteger(), nullable=True),
        sa.Column("redriven_at_us", sa.BigInteger(), nullable=True),
        sa.Column("redrive_error", sa.Text(), nullable=True),
    )


def _move(kind: str, records: str) -> None:
    # A failure whose event another collector handled has no event to move; it keeps what was known of it.
    user_id = _USER_ID[op.get_bind().dialect.name]
    op.execute(
        "INSERT INTO dead_letters (event_id, collector, kind, reason, retryable, tries, failed_at_us, "  # noqa: S608 - constants
        "timestamp_us, request_id, edge_namespace, app_id, llm_id, user_id, value, state) "
        "SELECT f.event_id, f.collector, f.kind, f.error, true, f.tries, f.failed_at_us, "
        f"r.timestamp_us, r.request_id, '', r.app_id, r.llm_id, {user_id}, r.value, 'failed' "
        f"FROM collector_failures f LEFT JOIN {records} r ON r.event_id = f.event_id "
        f"WHERE f.kind = '{kind}'"
    )
