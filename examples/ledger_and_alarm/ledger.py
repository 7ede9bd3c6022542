#!/usr/bin/env python3
"""Keeps what every call cost in a SQLite file, each call once."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from typing import Any

from weir_sdk import Analytics, BasePlugin, Context, DataCollectionResponse, Event, serve

TABLE = """
CREATE TABLE IF NOT EXISTS calls (
    event_id TEXT PRIMARY KEY, timestamp TEXT, app_id INTEGER, model TEXT, tokens INTEGER, cost TEXT
)
"""
INSERT = "INSERT INTO calls VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (event_id) DO NOTHING"


class Ledger(BasePlugin):
    """A collector that decides: what it has written it has handled, and the gateway keeps no copy.

    An event may come again, after a crash for example. The table's key makes that harmless: delivered at
    least once, it is here exactly once.
    """

    def __init__(self) -> None:
        super().__init__("ledger", "1.0.0", "Writes the cost of every call to SQLite")
        self._path = ""

    def initialize(self, ctx: Context, config: dict[str, Any]) -> None:
        self._path = config["path"]
        with closing(sqlite3.connect(self._path)) as database:
            database.execute(TABLE)

    def handle_batch(self, ctx: Context, events: Sequence[Event]) -> list[DataCollectionResponse]:
        calls = [event for event in events if isinstance(event, Analytics)]
        if calls:
            with closing(sqlite3.connect(self._path)) as database, database:
                database.executemany(INSERT, map(_row, calls))
        # A failure before this line fails the batch, and it comes again.
        return [DataCollectionResponse(handled=isinstance(event, Analytics)) for event in events]

    def get_config_schema(self) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": {"path": {"type": "string", "minLength": 1}},
            "required": ["path"],
            "additionalProperties": False,
        }


def _row(call: Analytics) -> tuple[object, ...]:
    return call.event_id, call.timestamp, call.app_id, call.model_name, call.total_tokens, call.cost


if __name__ == "__main__":
    serve(Ledger)
