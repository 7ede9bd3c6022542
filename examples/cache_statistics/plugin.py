#!/usr/bin/env python3
"""Counts at the edge how models' prompt caches are hit, and sends the counts to control (aggregator.py)."""

from __future__ import annotations

from collections import Counter
from typing import Any

from weir_sdk import (
    Analytics,
    BasePlugin,
    BudgetUsage,
    Context,
    DataCollectionResponse,
    ProxyLog,
    QueueFull,
    serve,
)

KIND = "cache_statistics"


class CacheStatistics(BasePlugin):
    """Counts calls and cached tokens, and sends the counts to control after every ``every`` calls."""

    def __init__(self) -> None:
        super().__init__("cache-statistics", "1.0.0", "Sends cache statistics to control")
        self._every = 100
        self._counts: Counter[str] = Counter()

    async def initialize(self, ctx: Context, config: dict[str, Any]) -> None:
        self._every = config.get("every", 100)

    async def handle_analytics(self, ctx: Context, analytics: Analytics) -> DataCollectionResponse:
        self._counts["calls"] += 1
        self._counts["hits"] += analytics.cache_read_tokens > 0
        self._counts["prompt_tokens"] += analytics.prompt_tokens
        self._counts["cache_read_tokens"] += analytics.cache_read_tokens
        if self._counts["calls"] >= self._every:
            await self._send(ctx)
        return DataCollectionResponse()

    async def handle_proxy_log(self, ctx: Context, log: ProxyLog) -> None:
        """What was said is none of its business."""

    async def handle_budget_usage(self, ctx: Context, usage: BudgetUsage) -> None:
        """What it cost neither."""

    async def shutdown(self, ctx: Context) -> None:
        if self._counts:
            await self._send(ctx)

    def get_config_schema(self) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": {"every": {"type": "integer", "minimum": 1, "default": 100}},
            "additionalProperties": False,
        }

    async def _send(self, ctx: Context) -> None:
        # Taken before the call: while it waits, other events are counted.
        counts, self._counts = self._counts, Counter()
        try:
            pending = await ctx.services.gateway.send_to_control_json(counts, metadata={"kind": KIND})
        except QueueFull as error:
            self._counts.update(counts)
            ctx.services.logger.warning("statistics wait for room", reason=str(error))
        else:
            ctx.services.logger.debug("statistics sent", calls=counts["calls"], pending=pending)


if __name__ == "__main__":
    serve(CacheStatistics)
