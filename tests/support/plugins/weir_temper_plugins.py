"""Collectors of one temper each, under ``python://`` and, run as a script, ``file://``."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import Any

from weir_sdk import (
    Analytics,
    BasePlugin,
    BudgetUsage,
    Context,
    DataCollectionResponse,
    PermanentError,
    ProxyLog,
    serve,
)

Event = ProxyLog | Analytics | BudgetUsage


class Tempered(BasePlugin):
    """Config: its ``temper``, and the ``file`` in which it notes each event that it says it handled.

    One that is ``partly`` handles only the events of calls whose own ``X-Request-Id`` is ``yes``.
    """

    def __init__(self) -> None:
        super().__init__("tempered", "1.0.0", "for tests")

    async def initialize(self, ctx: Context, config: dict[str, Any]) -> None:
        self.temper = config["temper"]
        self.file = os.open(config["file"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    async def handle_proxy_log(self, ctx: Context, log: ProxyLog) -> Any:
        return await self.answer(log)

    async def handle_analytics(self, ctx: Context, analytics: Analytics) -> Any:
        return await self.answer(analytics)

    async def handle_budget_usage(self, ctx: Context, usage: BudgetUsage) -> Any:
        return await self.answer(usage)

    async def answer(self, event: Event) -> Any:
        match self.temper:
            case "raises":
                raise RuntimeError("not today")
            case "refuses":
                raise PermanentError("never")
            case "unsuccessful":
                return DataCollectionResponse(success=False, handled=True, error_message="it is full")
            case "rubbish":
                return {"handled": "perhaps"}
            case "hangs":
                await asyncio.Event().wait()
            case "crashes":
                os._exit(9)
        handled = self.temper == "handles" or (
            self.temper.startswith("partly") and event.client_request_id == "yes"
        )
        if handled:
            os.write(self.file, f"{event.event_id}\n".encode())
        return DataCollectionResponse(handled=handled)


class Batching(Tempered):
    """The same, many at a time."""

    async def handle_batch(self, ctx: Context, events: Sequence[Event]) -> list[Any]:
        return [await self.answer(event) for event in events]


if __name__ == "__main__":
    serve(Tempered)
