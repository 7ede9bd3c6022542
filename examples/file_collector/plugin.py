#!/usr/bin/env python3
"""Keeps every event in files, one JSON object a line, in place of the gateway's database."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

from weir_sdk import (
    Analytics,
    BasePlugin,
    BudgetUsage,
    Context,
    DataCollectionResponse,
    DataCollector,
    Event,
    ProxyLog,
    serve,
)


class FileCollector(BasePlugin, DataCollector):
    """Appends to ``proxy-logs.jsonl``, ``analytics.jsonl`` and ``budget-usage.jsonl`` in one directory.

    The handlers are plain functions because they block: the gateway runs them in threads.
    """

    def __init__(self) -> None:
        super().__init__("file-collector", "1.0.0", "Appends events to JSON lines files")
        self._directory = Path()
        self._one_at_a_time = threading.Lock()

    def initialize(self, ctx: Context, config: dict[str, Any]) -> None:
        self._directory = Path(config["directory"])
        self._directory.mkdir(parents=True, exist_ok=True)

    def handle_proxy_log(self, ctx: Context, log: ProxyLog) -> DataCollectionResponse:
        return self._append("proxy-logs.jsonl", log)

    def handle_analytics(self, ctx: Context, analytics: Analytics) -> DataCollectionResponse:
        return self._append("analytics.jsonl", analytics)

    def handle_budget_usage(self, ctx: Context, usage: BudgetUsage) -> DataCollectionResponse:
        return self._append("budget-usage.jsonl", usage)

    def _append(self, name: str, event: Event) -> DataCollectionResponse:
        with self._one_at_a_time, (self._directory / name).open("ab") as file:
            file.write(event.to_json() + b"\n")
            file.flush()
            os.fsync(file.fileno())  # "handled" is a promise: from here on this is the only copy
        return DataCollectionResponse(handled=True)

    def get_config_schema(self) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": {"directory": {"type": "string", "minLength": 1}},
            "required": ["directory"],
            "additionalProperties": False,
        }


if __name__ == "__main__":
    serve(FileCollector)
