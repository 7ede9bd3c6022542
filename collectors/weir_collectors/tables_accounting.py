"""What the accountant keeps: sums by the hour, spend by budget period, and how far it has come in the log.

In keys, 0 and the empty text stand for none: a unique key does not tell one NULL from another.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Integer, Table, Text

from weir_collectors.tables import metadata

SUMS: Final = (
    "requests",
    "corrections",
    "errors",
    "blocked",
    "denied",
    "upstream_error",
    "client_aborted",
    "gateway_error",
    "prompt_tokens",
    "response_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "total_tokens",
    "usage_provider",
    "usage_estimated",
    "usage_none",
    "cost_nano",
    "unknown_prices",
)
"""The columns of ``rollups_hourly`` that are added to."""

SPEND_SUMS: Final = (
    "requests",
    "corrections",
    "tokens_used",
    "prompt_tokens",
    "response_tokens",
    "cost_nano",
    "unknown_prices",
)
"""The columns of ``budget_spend`` that are added to."""


def _sum(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False)


rollups_hourly: Final = Table(
    "rollups_hourly",
    metadata,
    Column("hour", Integer, primary_key=True, autoincrement=False),
    Column("app_id", BigInteger, primary_key=True, autoincrement=False),
    Column("llm_id", BigInteger, primary_key=True, autoincrement=False),
    Column("vendor", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("user_id", Text, primary_key=True),
    Column("edge_namespace", Text, primary_key=True),
    Column("currency", Text, primary_key=True),
    *map(_sum, SUMS),
    sqlite_with_rowid=False,
)
"""Analytics events, added up. ``hour`` counts hours since the Unix epoch; costs are nano-units."""

budget_spend: Final = Table(
    "budget_spend",
    metadata,
    Column("app_id", BigInteger, primary_key=True, autoincrement=False),
    Column("llm_id", BigInteger, primary_key=True, autoincrement=False),
    Column("period_id", Text, primary_key=True),
    Column("currency", Text, primary_key=True),
    *map(_sum, SPEND_SUMS),
    sqlite_with_rowid=False,
)
"""Budget events, added up by budget period."""

accountant_offsets: Final = Table(
    "accountant_offsets",
    metadata,
    Column("topic", Text, primary_key=True),
    Column("partition", Text, primary_key=True),
    Column("next_offset", BigInteger, nullable=False),
    Column("undecodable", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""Where the accountant reads on, and how many records it met that are no events."""

accountant_marks: Final = Table(
    "accountant_marks",
    metadata,
    Column("topic", Text, primary_key=True),
    Column("partition", Text, primary_key=True),
    Column("spool_id", Text, primary_key=True),
    Column("spool_seq", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""The highest number of each spool that is in the sums; what is not higher has been added already."""

accountant_members: Final = Table(
    "accountant_members",
    metadata,
    Column("member", Text, primary_key=True),
    Column("as_of_us", BigInteger, nullable=False),
    Column("seen_us", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""Each process that runs an accountant: up to which moment its part of the log is in the sums."""
