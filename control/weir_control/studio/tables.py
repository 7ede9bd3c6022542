"""The payloads that are on their way to a studio plugin, and those that were given up."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, Table, Text

from weir_control.store.tables import metadata

edge_payloads: Final = Table(
    "edge_payloads",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("event_id", Text, nullable=False, unique=True),
    Column("edge_namespace", Text, nullable=False),
    Column("edge_id", Text, nullable=False),
    Column("plugin_id", BigInteger, nullable=False),
    Column("sent_at_us", BigInteger, nullable=False),
    Column("received_at_us", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("next_try_at_us", BigInteger, nullable=False),
    Column("last_error", Text, nullable=False),
    Column("last_error_unquoted", Text),
    Column("failed_at_us", BigInteger),
    Column("value", LargeBinary, nullable=False),
)
"""In the order of their ids within a plugin and edge. ``value`` is the event as it stood in the log;
``state`` is one of ``PayloadState``. ``last_error_unquoted`` is without a word of a plugin's; null where
there is none in it. A payload that was delivered has no row any more."""

Index(
    None,
    edge_payloads.c.state,
    edge_payloads.c.edge_namespace,
    edge_payloads.c.edge_id,
    edge_payloads.c.plugin_id,
    edge_payloads.c.id,
)
