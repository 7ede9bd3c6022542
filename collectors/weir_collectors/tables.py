"""What the collectors keep in the database. Control's migrations create these tables from ``metadata``."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

from weir_collectors.kinds import EventKind

metadata: Final = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)


def id_column() -> Column[int]:
    """The ``id`` that every table here has."""
    # Only a column of exactly this type is SQLite's own row id, which costs no index of its own.
    return Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True)


def _records(name: str) -> Table:
    """Events that no collector handled: the columns that can be filtered by, and the whole JSON value.

    This is their shape on SQLite. On Postgres the migrations make them partitioned: see ``days``.
    """
    table = Table(
        name,
        metadata,
        id_column(),
        Column("event_id", Text, nullable=False, unique=True),
        Column("request_id", Text, nullable=False),
        Column("timestamp_us", BigInteger, nullable=False),
        Column("app_id", BigInteger),
        Column("llm_id", BigInteger),
        Column("model", Text),
        Column("status", Integer),
        Column("value", Text, nullable=False),
    )
    Index(None, table.c.timestamp_us, table.c.id)
    Index(None, table.c.app_id, table.c.timestamp_us, table.c.id)
    Index(None, table.c.request_id)
    return table


records_proxy_logs: Final = _records("records_proxy_logs")
records_analytics: Final = _records("records_analytics")
records_budget_usage: Final = _records("records_budget_usage")

RECORDS: Final = {
    EventKind.PROXY_LOG: records_proxy_logs,
    EventKind.ANALYTICS: records_analytics,
    EventKind.BUDGET_USAGE: records_budget_usage,
}
"""The table that keeps each kind of event."""

undecodable_events: Final = Table(
    "undecodable_events",
    metadata,
    id_column(),
    Column("topic", Text, nullable=False),
    Column("partition", Text, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("key", LargeBinary, nullable=False),
    Column("value", LargeBinary, nullable=False),
    Column("error", Text, nullable=False),
    Column("failed_at_us", BigInteger, nullable=False),
    UniqueConstraint("topic", "partition", "offset"),
)
"""Log records that are not events, exactly as they came."""
