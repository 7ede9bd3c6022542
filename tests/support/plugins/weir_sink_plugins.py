"""A collector whose sink a test can take away: while a file stands beside its own, nobody can connect."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

from weir_sdk import (
    Analytics,
    BasePlugin,
    BudgetUsage,
    Context,
    DataCollectionResponse,
    PermanentError,
    ProxyLog,
)


class Sink(BasePlugin):
    """Appends ``<kind> <event id>`` to ``file`` and handles the event, unless ``<file>.away`` is there.

    Starting takes it ``start_s`` seconds.
    """

    name = "sink"

    async def initialize(self, ctx: Context, config: dict[str, Any]) -> None:
        await asyncio.sleep(config.get("start_s", 0.0))
        self.file = os.open(config["file"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self.away = Path(config["file"] + ".away")

    async def handle_proxy_log(self, ctx: Context, log: ProxyLog) -> DataCollectionResponse:
        return self._take("proxy-logs", log)

    async def handle_analytics(self, ctx: Context, analytics: Analytics) -> DataCollectionResponse:
        return self._take("analytics", analytics)

    async def handle_budget_usage(self, ctx: Context, usage: BudgetUsage) -> DataCollectionResponse:
        return self._take("budget-usage", usage)

    def _take(self, kind: str, event: ProxyLog | Analytics | BudgetUsage) -> DataCollectionResponse:
        if self.away.exists():
            raise ConnectionRefusedError("nobody listens")
        os.write(self.file, f"{kind} {event.event_id}\n".encode())
        return DataCollectionResponse(handled=True)


class Picky(Sink):
    """A sink that refuses about one event in sixty-four while ``<file>.picky`` is there.

    What was estimated it takes without handling it, so that it is recorded, too.
    """

    async def initialize(self, ctx: Context, config: dict[str, Any]) -> None:
        await super().initialize(ctx, config)
        self.picky = Path(config["file"] + ".picky")

    def _take(self, kind: str, event: ProxyLog | Analytics | BudgetUsage) -> DataCollectionResponse:
        if self.picky.exists() and int(event.event_id[-2:], 16) % 64 == 0:
            raise PermanentError("not this one")
        taken = super()._take(kind, event)
        estimated = isinstance(event, Analytics) and event.usage_source == "estimated"
        return DataCollectionResponse(handled=False) if estimated else taken
