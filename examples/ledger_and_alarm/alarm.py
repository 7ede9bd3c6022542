#!/usr/bin/env python3
"""Says so when an app spends more in an hour than it should."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from weir_sdk import Analytics, BasePlugin, Context, serve


class Alarm(BasePlugin):
    """A collector that watches: as an observer it decides about no record and holds nobody up.

    It adds up in memory, so a restart begins a new sum; and an event that comes again is not counted twice.
    """

    def __init__(self) -> None:
        super().__init__("alarm", "1.0.0", "Warns of apps that spend too much in an hour")
        self._hour = ""
        self._spent: dict[int, Decimal] = {}
        self._seen: set[str] = set()

    async def initialize(self, ctx: Context, config: dict[str, Any]) -> None:
        self._most = Decimal(config["most_per_hour"])

    async def handle_analytics(self, ctx: Context, analytics: Analytics) -> None:
        self._turn_to(analytics.timestamp[: len("2026-01-31T12")])
        if analytics.app_id is None or analytics.cost is None or analytics.event_id in self._seen:
            return
        self._seen.add(analytics.event_id)
        before = self._spent.get(analytics.app_id, Decimal(0))
        after = self._spent[analytics.app_id] = before + Decimal(analytics.cost)
        if before <= self._most < after:
            ctx.services.logger.warning("an app spends much", app_id=analytics.app_id, spent=str(after))

    def _turn_to(self, hour: str) -> None:
        if hour > self._hour:
            self._hour = hour
            self._spent.clear()
            self._seen.clear()

    def get_config_schema(self) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": {"most_per_hour": {"type": "string", "pattern": r"^\d+(\.\d+)?$"}},
            "required": ["most_per_hour"],
            "additionalProperties": False,
        }


if __name__ == "__main__":
    serve(Alarm)
