"""A plugin that keeps tens of megabytes of each call, and a collector that keeps as much of each proxy log."""

from __future__ import annotations

import os
from typing import Any

from weir_sdk import BasePlugin, Context, DataCollectionResponse, ProxyLog, Request, serve

KEPT_BYTES = 40_000_000


class Leaking(BasePlugin):
    """Appends the request id of every proxy log to the file ``file``, and handles it."""

    name = "leaking"

    async def initialize(self, ctx: Context, config: dict[str, Any]) -> None:
        self.kept: list[bytes] = []
        self.file = os.open(config["file"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    async def handle_post_auth(self, ctx: Context, request: Request) -> None:
        self.kept.append(bytes([1]) * KEPT_BYTES)

    async def handle_proxy_log(self, ctx: Context, log: ProxyLog) -> DataCollectionResponse:
        self.kept.append(bytes([1]) * KEPT_BYTES)
        os.write(self.file, f"{log.request_id}\n".encode())
        return DataCollectionResponse(handled=True)


if __name__ == "__main__":
    serve(Leaking)
