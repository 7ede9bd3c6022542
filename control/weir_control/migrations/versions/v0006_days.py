"""Records by the day on Postgres, and who publishes the configuration."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_RECORDS = ("records_proxy_logs", "records_analytics", "records_budget_usage")
_INDEXES = (["timestamp_us", "id"], ["app_id", "timestamp_us", "id"], ["request_id"])


def upgrade() -> None:
    publication = op.create_table(
        "config_publication",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("leader", sa.Text(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_config_publication"),
    )
    op.bulk_insert(publication, [{"id": 1, "epoch": 0, "leader": "", "revision": -1}])
    if op.get_context().dialect.name == "postgresql":
        for name in _RECORDS:
            _partition(name)


def _partition(name: str) -> None:
    """What is there goes where events without a day of their own are; the gateway moves what is young."""
    days = f"{name}_days"
    op.execute(f"CREATE TABLE {days} (LIKE {name} INCLUDING DEFAULTS) PARTITION BY RANGE (timestamp_us)")
    op.execute(f"CREATE TABLE {name}_other PARTITION OF {days} DEFAULT")
    op.execute(f"INSERT INTO {days} SELECT * FROM {name}")  # noqa: S608 - constants
    op.execute(f"ALTER SEQUENCE {name}_id_seq OWNED BY {days}.id")
    op.drop_table(name)
    op.rename_table(days, name)
    op.create_primary_key(f"pk_{name}", name, ["id", "timestamp_us"])
    op.create_unique_constraint(f"uq_{name}_event_id", name, ["event_id", "timestamp_us"])
    for columns in _INDEXES:
        op.create_index(f"ix_{name}_{'_'.join(columns)}", name, columns)
