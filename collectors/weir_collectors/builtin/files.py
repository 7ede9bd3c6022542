"""``python://weir_collectors.builtin.files:FileCollector``: every event as a line of JSON in a file."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from weir_collectors.builtin.day_files import DayFiles
from weir_collectors.builtin.days import day_of
from weir_sdk import Analytics, BasePlugin, BudgetUsage, Context, DataCollectionResponse, Event, ProxyLog

Sync = Literal["always", "interval", "never"]

_Result = TypeVar("_Result")

_MIB: Final = 1024 * 1024
_NAMES: Final[dict[type[Event], str]] = {
    ProxyLog: "proxy-log",
    Analytics: "analytics",
    BudgetUsage: "budget-usage",
}
_SCHEMA: Final[dict[str, Any]] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["directory"],
    "additionalProperties": False,
    "properties": {
        "directory": {
            "type": "string",
            "pattern": "^/",
            "description": "Where the files go: an absolute path that no other collector writes to.",
        },
        "max_bytes": {
            "type": "integer",
            "minimum": 1024,
            "default": 256 * _MIB,
            "description": "Size at which a file is left and the next one begins.",
        },
        "sync": {
            "enum": ["always", "interval", "never"],
            "default": "interval",
            "description": "When to wait for the disk: for each batch, now and then, or never.",
        },
        "sync_interval_seconds": {
            "type": "number",
            "exclusiveMinimum": 0,
            "default": 1.0,
            "description": "How often, with sync: interval.",
        },
        "handled": {
            "type": "boolean",
            "default": True,
            "description": "Whether the database need not keep what is in the files.",
        },
    },
}


class FileCollector(BasePlugin):
    """Appends events to ``<directory>/<kind>-<day>.jsonl``, by the event's own UTC day.

    Delivery is at least once: an event may stand in a file twice after a crash; ``event_id`` tells. It says
    handled only of what is written, and with ``sync: always`` only of what is on the platter.
    """

    name = "Files"
    version = "1.0.0"
    description = "Writes every event as a line of JSON, one file for each kind and day."

    def get_config_schema(self) -> dict[str, Any]:
        """See ``_SCHEMA``."""
        return _SCHEMA

    async def initialize(self, ctx: Context, config: dict[str, Any]) -> None:
        """Open the directory and mend what a crash left. Raises OSError when it cannot be written."""
        self._sync: Sync = config.get("sync", "interval")
        self._handled: bool = config.get("handled", True)
        self._files = DayFiles(Path(config["directory"]), config.get("max_bytes", 256 * _MIB))
        # One thread, which outlives a batch that ran out of time: two never write at once.
        self._thread = ThreadPoolExecutor(1, "weir-file-collector")
        for path in await self._in_turn(self._files.repair):
            ctx.services.logger.warning("a torn last line was cut off", path=str(path))
        every_s = config.get("sync_interval_seconds", 1.0)
        self._syncing = (
            asyncio.create_task(self._sync_forever(ctx, every_s)) if self._sync == "interval" else None
        )

    async def handle_batch(self, ctx: Context, events: Sequence[Event]) -> list[DataCollectionResponse]:
        """Write all of a batch, or raise the disk's own error: the batch then comes again."""
        lines: dict[str, list[bytes]] = defaultdict(list)
        for event in events:
            lines[f"{_NAMES[type(event)]}-{day_of(event)}"].append(event.to_json() + b"\n")
        await self._in_turn(partial(self._write, lines))
        return [DataCollectionResponse(handled=self._handled) for _ in events]

    async def shutdown(self, ctx: Context) -> None:
        """Sync and close the files."""
        if self._syncing is not None:
            self._syncing.cancel()
        try:
            if self._sync != "never":
                await self._in_turn(self._files.sync)
        finally:
            await self._in_turn(self._files.close)
            self._thread.shutdown(wait=False)

    def _write(self, lines: dict[str, list[bytes]]) -> None:
        self._files.append(lines)
        if self._sync == "always":
            self._files.sync()

    async def _in_turn(self, work: Callable[[], _Result]) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _sync_forever(self, ctx: Context, every_s: float) -> None:
        while True:
            await asyncio.sleep(every_s)
            try:
                await self._in_turn(self._files.sync)
            except OSError as error:
                ctx.services.logger.warning("files could not be synced", error=str(error))
