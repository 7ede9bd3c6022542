"""Who was erased, and up to which moment: kept for good, so that what comes back is erased again."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Index, Integer, Table, Text

from weir_collectors.tables import metadata

erasures: Final = Table(
    "erasures",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("scope", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("salt", Text, nullable=False),
    Column("cutoff_us", BigInteger, nullable=False),
    Column("stage", Integer, nullable=False),
    Column("position", BigInteger),
    Column("erased", BigInteger, nullable=False),
    Column("finished_at_us", BigInteger),
)
"""One ``weir erase``. ``subject`` is an app's id, or a digest of a user's; ``stage`` and ``position`` (null
at its beginning) are where a run that was killed goes on, ``erased`` how many rows it has changed."""

Index(None, erasures.c.cutoff_us)
