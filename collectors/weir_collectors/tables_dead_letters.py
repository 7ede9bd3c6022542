"""The tables of what collectors did not get: single dead letters, and ranges of the log."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, Table, Text, UniqueConstraint

from weir_collectors.tables import id_column, metadata


def _redrive_columns() -> tuple[Column[Any], ...]:
    """What a redrive needs: who asked for it when, who is at it, and how it ended."""
    return (
        Column("state", Text, nullable=False),
        Column("requested_at_us", BigInteger),
        Column("claimed_by", Text),
        Column("claimed_until_us", BigInteger),
        Column("redriven_at_us", BigInteger),
        Column("redrive_error", Text),
        Column("redrive_error_unquoted", Text),
    )


dead_letters: Final = Table(
    "dead_letters",
    metadata,
    id_column(),
    Column("event_id", Text, nullable=False),
    Column("collector", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("reason_unquoted", Text),
    Column("retryable", Boolean, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("failed_at_us", BigInteger, nullable=False),
    Column("timestamp_us", BigInteger),
    Column("request_id", Text),
    Column("edge_namespace", Text, nullable=False),
    Column("app_id", BigInteger),
    Column("llm_id", BigInteger),
    Column("user_id", Text),
    Column("value", Text),
    *_redrive_columns(),
    UniqueConstraint("event_id", "collector"),
)
"""One row for each event that a collector (by its slug) gave up on. ``value`` is the whole event as JSON,
null where it is not known any more. ``state`` is one of ``LetterState``. What is ``unquoted`` is without a
word of the collector's; null where there is none in it."""

Index(None, dead_letters.c.failed_at_us, dead_letters.c.id)
Index(None, dead_letters.c.collector, dead_letters.c.failed_at_us, dead_letters.c.id)
Index(None, dead_letters.c.state, dead_letters.c.id)
Index(None, dead_letters.c.app_id)

dead_letter_ranges: Final = Table(
    "dead_letter_ranges",
    metadata,
    id_column(),
    Column("collector", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("partition", Text, nullable=False),
    Column("first_offset", BigInteger, nullable=False),
    Column("last_offset", BigInteger, nullable=False),
    Column("events", BigInteger, nullable=False),
    Column("first_timestamp_us", BigInteger, nullable=False),
    Column("last_timestamp_us", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("reason_unquoted", Text),
    Column("opened_at_us", BigInteger, nullable=False),
    Column("closed_at_us", BigInteger),
    Column("next_offset", BigInteger, nullable=False),
    Column("redriven", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False),
    Column("missing", BigInteger, nullable=False),
    *_redrive_columns(),
)
"""One row for each stretch of a partition that a collector was not asked about. Offsets are inclusive;
``events`` of them were for this collector. A redrive goes on at ``next_offset`` and counts what it did; the
``missing`` are in neither the log nor the records any more. ``state`` is one of ``RangeState``."""

Index(None, dead_letter_ranges.c.state, dead_letter_ranges.c.id)
Index(None, dead_letter_ranges.c.collector, dead_letter_ranges.c.state)
