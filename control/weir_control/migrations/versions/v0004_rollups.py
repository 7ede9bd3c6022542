"""The accountant's sums, offsets and marks, and the erasures."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_ROLLUP_SUMS = (
    *("requests", "corrections", "errors"),
    *("blocked", "denied", "upstream_error", "client_aborted", "gateway_error"),
    *("prompt_tokens", "response_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens"),
    *("total_tokens", "usage_provider", "usage_estimated", "usage_none", "cost_nano", "unknown_prices"),
)
_SPEND_SUMS = (
    *("requests", "corrections", "tokens_used", "prompt_tokens", "response_tokens", "cost_nano"),
    "unknown_prices",
)


def upgrade() -> None:
    _keyed_table(
        "rollups_hourly",
        sa.Column("hour", sa.Integer(), autoincrement=False, nullable=False),
        _number("app_id"),
        _number("llm_id"),
        *map(_text, ("vendor", "model", "user_id", "edge_namespace", "currency")),
        values=map(_number, _ROLLUP_SUMS),
    )
    _keyed_table(
        "budget_spend",
        _number("app_id"),
        _number("llm_id"),
        _text("period_id"),
        _text("currency"),
        values=map(_number, _SPEND_SUMS),
    )
    _keyed_table(
        "accountant_offsets",
        _text("topic"),
        _text("partition"),
        values=(_number("next_offset"), _number("undecodable")),
    )
    _keyed_table(
        "accountant_marks",
        _text("topic"),
        _text("partition"),
        _text("spool_id"),
        values=(_number("spool_seq"),),
    )
    _keyed_table(
        "accountant_members",
        _text("member"),
        values=(_number("as_of_us"), _number("seen_us")),
    )
    _create_erasures()


def _create_erasures() -> None:
    op.create_table(
        "erasures",
        sa.Column("id", _ID, nullable=False),
        _text("scope"),
        _text("subject"),
        _text("salt"),
        _number("cutoff_us"),
        sa.Column("stage", sa.Integer(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=True),
        _number("erased"),
        sa.Column("finished_at_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_erasures"),
    )
    op.create_index("ix_erasures_cutoff_us", "erasures", ["cutoff_us"])


def _keyed_table(name: str, *key: sa.Column[Any], values: Iterable[sa.Column[Any]]) -> None:
    op.create_table(
        name,
        *key,
        *values,
        sa.PrimaryKeyConstraint(*(column.name for column in key), name=f"pk_{name}"),
        sqlite_with_rowid=False,
    )


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), autoincrement=False, nullable=False)
