#!/usr/bin/env python3
"""A plugin with every handler, whose behaviour a test chooses by the request's ``X-Do`` header or the like."""

import asyncio
import os
import sys
import time
from typing import Any

from weir_sdk import (
    BasePlugin,
    Context,
    Credential,
    DataCollectionResponse,
    PermanentError,
    PluginResponse,
    Request,
    Response,
    StreamComplete,
    inline,
    serve,
)

print("printed while the script was imported")


class Everything(BasePlugin):
    name = "everything"
    version = "1.2.3"
    description = "Does whatever its test wants."

    def __init__(self) -> None:
        super().__init__()
        print("printed in the constructor")
        os.write(1, b"written past Python in the constructor\n")
        self.notes: list[str] = []

    async def initialize(self, ctx: Context, config: dict[str, Any]) -> None:
        if config.get("refuse"):
            raise ValueError(f"refused {config['refuse']!r}")
        self.config = config
        self.seen_edge = (ctx.edge_id, ctx.edge_namespace, ctx.runtime)

    async def shutdown(self, ctx: Context) -> None:
        if path := self.config.get("write_at_shutdown"):
            with open(path, "a") as file:
                file.write("shut down\n")

    @inline
    def handle_pre_auth(self, ctx: Context, request: Request) -> PluginResponse | None:
        if request.headers.get("X-Do") == "block":
            return PluginResponse(block=True, status_code=418, body=b"teapot", headers={"x-why": "tea"})
        ctx.metadata["query"] = request.query_string
        request.headers["X-Pre"] = str(len(request.body))
        return None

    async def handle_auth(self, ctx: Context, request: Request) -> PluginResponse | None:
        if request.headers.get("Authorization") == "Bearer good":
            return PluginResponse(credential=Credential(user_id="ada", claims={"team": "blue"}, app_id=7))
        return PluginResponse(block=True, error_message="unknown token")

    async def handle_post_auth(self, ctx: Context, request: Request) -> Any:
        match request.headers.get("X-Do"):
            case "raise":
                raise ValueError("boom")
            case "raise for good":
                raise PermanentError("never")
            case "exit":
                sys.exit(3)
            case "cancel itself":
                raise asyncio.CancelledError
            case "rubbish":
                return 5
            case "bad header":
                request.headers["X-A"] = "a\nb"
            case "surrogate":
                ctx.metadata["a"] = "\ud800"
            case "print":
                print("printed in a handler " + "x" * 300_000)
                print("on standard error", file=sys.stderr)
            case "hang":
                self.notes.append("hanging")
                try:
                    await asyncio.sleep(600)
                finally:
                    self.notes.append("cancelled")
            case "log":
                ctx.services.logger.warning("watch out", count=3, who=Everything)
            case "say":
                request.headers["X-Said"] = f"{self.config} {self.seen_edge} {self.notes} {os.getpid()}"
            case "app":
                request.headers["X-Said"] = (await ctx.services.gateway.get_app(7)).name
            case "block the loop":
                print("blocking the loop", file=sys.stderr)
                time.sleep(600)
            case _:
                request.json()["user"] = request.user_id
                request.headers.pop("X-Gone", None)
                ctx.metadata.pop("gone", None)
                ctx.metadata["left"] = "here"
        return None

    def on_before_write_headers(self, ctx: Context, response: Response) -> None:
        response.headers["X-Thread"] = str(response.status_code)

    def on_before_write(self, ctx: Context, response: Response) -> None:
        response.body = response.body.upper()

    async def on_stream_complete(self, ctx: Context, stream: StreamComplete) -> None:
        self.notes.append(f"{stream.chunk_count} {stream.body!r} {stream.request_body!r}")

    async def handle_proxy_log(self, ctx: Context, log: Any) -> DataCollectionResponse:
        self.notes.append(log.event_id)
        return DataCollectionResponse(handled=True)

    async def handle_analytics(self, ctx: Context, analytics: Any) -> DataCollectionResponse:
        return DataCollectionResponse(success=False, error_message=analytics.cost, retryable=False)

    async def handle_budget_usage(self, ctx: Context, usage: Any) -> None:
        raise ConnectionError("sink is down")

    async def handle_batch(self, ctx: Context, events: Any) -> list[DataCollectionResponse]:
        return [DataCollectionResponse(handled=event.user_id == "ada") for event in events]

    def get_config_schema(self) -> dict[str, Any]:
        return {"type": "object"}

    def get_manifest(self) -> str:
        return '{"id": "everything"}'


if __name__ == "__main__":
    serve(Everything)
