#!/usr/bin/env python3
"""Adds up in control what the cache statistics of all edges (plugin.py) send."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from weir_sdk import BasePlugin, Context, EdgePayload, EdgePayloadResponse, serve

KIND = "cache_statistics"
_REMEMBERED = 1000


class CacheAggregator(BasePlugin):
    """Keeps the sums by edge in a JSON file; counts each payload once, however often it comes."""

    def __init__(self) -> None:
        super().__init__("cache-aggregator", "1.0.0", "Adds up the cache statistics of all edges")
        self._file = Path()
        self._edges: dict[str, Counter[str]] = {}
        self._seen: dict[str, list[str]] = {}

    async def initialize(self, ctx: Context, config: dict[str, Any]) -> None:
        self._file = Path(config["file"])
        if self._file.exists():
            kept = json.loads(self._file.read_text())
            self._edges = {edge: Counter(counts) for edge, counts in kept["edges"].items()}
            self._seen = kept["seen"]

    async def accept_edge_payload(self, ctx: Context, payload: EdgePayload) -> EdgePayloadResponse:
        if payload.metadata.get("kind") != KIND:
            return EdgePayloadResponse(handled=False)
        # What comes again does so soon: only payloads that were under way are delivered once more.
        seen = self._seen.setdefault(f"{payload.edge_id}/{payload.plugin_id}", [])
        if payload.id in seen:
            return EdgePayloadResponse()
        try:
            counts = msgspec.json.decode(payload.payload, type=dict[str, int])
        except msgspec.DecodeError as error:
            return EdgePayloadResponse(error_message=f"not statistics: {error}")
        self._edges.setdefault(payload.edge_id, Counter()).update(counts)
        seen.append(payload.id)
        del seen[:-_REMEMBERED]
        self._write()
        return EdgePayloadResponse()

    def get_config_schema(self) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": {"file": {"type": "string", "minLength": 1}},
            "required": ["file"],
            "additionalProperties": False,
        }

    def _write(self) -> None:
        """Sums and ids change together, in one step."""
        fresh = self._file.with_name(self._file.name + ".new")
        fresh.write_text(json.dumps({"edges": self._edges, "seen": self._seen}, indent=2))
        fresh.replace(self._file)


if __name__ == "__main__":
    serve(CacheAggregator)
