"""Plugins that the tests attach to a running gateway."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from pathlib import Path
from typing import Any

from weir_sdk import (
    Analytics,
    BasePlugin,
    BudgetUsage,
    Context,
    Credential,
    DataCollectionResponse,
    PluginResponse,
    ProxyLog,
    Request,
    Response,
)


class Named(BasePlugin):
    """Named after its class."""

    def __init__(self) -> None:
        super().__init__(type(self).__name__, "1.0.0", "for tests")


class Blocker(Named):
    """Refuses every request that says ``forbidden``."""

    async def handle_pre_auth(self, ctx: Context, request: Request) -> PluginResponse | None:
        if b"forbidden" in request.body:
            return PluginResponse(block=True, error_message="That is forbidden here.")
        return None


class Cache(Named):
    """Answers ``ping`` itself."""

    async def handle_post_auth(self, ctx: Context, request: Request) -> PluginResponse | None:
        if b"ping-the-cache" not in request.body:
            return None
        body = (
            b'{"id":"cached","object":"chat.completion","created":1,"model":"cache","choices":'
            b'[{"index":0,"message":{"role":"assistant","content":"pong"},"finish_reason":"stop"}]}'
        )
        headers = {"X-Cache": "hit"}
        return PluginResponse(block=True, status_code=200, headers=headers, body=body)


class Rewriter(Named):
    """Changes everything a plugin may change, and leaves a note for the next one."""

    async def handle_pre_auth(self, ctx: Context, request: Request) -> None:
        ctx.metadata["seen"] = request.path

    async def handle_post_auth(self, ctx: Context, request: Request) -> None:
        request.headers["x-team"] = f"app-{ctx.app_id}"
        request.headers["X-RateLimit-Remaining"] = "41"
        request.headers["authorization"] = "Bearer stolen"
        request.json()["temperature"] = 0.25
        ctx.metadata["note"] = ctx.metadata["seen"] + "!"

    async def on_before_write_headers(self, ctx: Context, response: Response) -> None:
        response.headers["x-note"] = ctx.metadata["note"]

    async def on_before_write(self, ctx: Context, response: Response) -> None:
        if not response.is_stream_chunk:
            response.json()["weir"] = "was here"


class Stamp(Named):
    """Stamps every whole answer, and every piece of a stream that has a choice."""

    async def on_before_write(self, ctx: Context, response: Response) -> None:
        if not response.is_stream_chunk or b'"choices":[{' in response.body.replace(b" ", b""):
            response.json()["weir"] = "was here"


class TokenAuth(Named):
    """Knows one token and one app."""

    async def initialize(self, ctx: Context, config: dict[str, Any]) -> None:
        self.app_id = config.get("app_id")

    async def handle_auth(self, ctx: Context, request: Request) -> PluginResponse:
        if request.headers.get("authorization") == "Bearer open-sesame":
            credential = Credential(user_id="ali", claims={"via": "cave"}, app_id=self.app_id)
            return PluginResponse(modified=True, credential=credential)
        return PluginResponse(block=True, status_code=401, error_message="Say the word.")


class Raising(Named):
    """A guard with a defect."""

    async def handle_post_auth(self, ctx: Context, request: Request) -> None:
        raise RuntimeError("secret-detail-of-the-plugin")


class Hanging(Named):
    """A guard that waits for ever and will not be cancelled."""

    async def handle_post_auth(self, ctx: Context, request: Request) -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                continue


class Blocking(Named):
    """Computes for ever where the call says so, and lets nothing else run."""

    async def handle_post_auth(self, ctx: Context, request: Request) -> None:
        while b"compute" in request.body:
            pass


class Waiting(Named):
    """A guard that waits for something that never comes."""

    async def handle_post_auth(self, ctx: Context, request: Request) -> None:
        await asyncio.Event().wait()


class Rubbish(Named):
    """A guard that answers nonsense."""

    async def handle_post_auth(self, ctx: Context, request: Request) -> Any:
        return {"modified": "perhaps"}


class CannotStart(Named):
    """A guard whose initialize fails."""

    async def initialize(self, ctx: Context, config: dict[str, Any]) -> None:
        raise RuntimeError("no database")

    async def handle_post_auth(self, ctx: Context, request: Request) -> None:
        raise AssertionError("a plugin that could not start was called")


class Collector(Named):
    """Base of the collectors below: appends every event id to a file, by kind."""

    async def initialize(self, ctx: Context, config: dict[str, Any]) -> None:
        self.file = os.open(config["file"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self.only = config.get("handle_models")

    def note(self, kind: str, event: ProxyLog | Analytics | BudgetUsage) -> None:
        os.write(self.file, f"{kind} {event.event_id}\n".encode())


class Handling(Collector):
    """Handles proxy logs, and collects the rest without handling it."""

    async def handle_proxy_log(self, ctx: Context, log: ProxyLog) -> DataCollectionResponse:
        self.note("proxy_log", log)
        return DataCollectionResponse(success=True, handled=True)

    async def handle_analytics(self, ctx: Context, analytics: Analytics) -> None:
        self.note("analytics", analytics)

    async def handle_budget_usage(self, ctx: Context, usage: BudgetUsage) -> DataCollectionResponse:
        self.note("budget_usage", usage)
        return DataCollectionResponse(success=True, handled=False)


class Failing(Collector):
    """Never manages to collect anything."""

    async def handle_proxy_log(self, ctx: Context, log: ProxyLog) -> None:
        raise ConnectionError("sink is away")

    async def handle_analytics(self, ctx: Context, analytics: Analytics) -> DataCollectionResponse:
        return DataCollectionResponse(success=False, error_message="sink is full")


class Slow(Collector):
    """Blocks its thread for a while with every event."""

    def handle_analytics(self, ctx: Context, analytics: Analytics) -> None:
        time.sleep(0.2)  # a collector that is slow for real
        self.note("analytics", analytics)


class StuckAtStart(Collector):
    """Holds up its process from its start until the file that it is configured with exists."""

    async def initialize(self, ctx: Context, config: dict[str, Any]) -> None:
        await super().initialize(ctx, config)
        while not Path(config["gate"]).exists():
            pass

    async def handle_analytics(self, ctx: Context, analytics: Analytics) -> None:
        self.note("analytics", analytics)


class Gated(Collector):
    """Holds up every event until the file that it is configured with exists; notes that it has begun."""

    async def initialize(self, ctx: Context, config: dict[str, Any]) -> None:
        await super().initialize(ctx, config)
        self.gate = Path(config["gate"])

    async def handle_proxy_log(self, ctx: Context, log: ProxyLog) -> None:
        await self._hold("proxy_log", log)

    async def handle_analytics(self, ctx: Context, analytics: Analytics) -> None:
        await self._hold("analytics", analytics)

    async def handle_budget_usage(self, ctx: Context, usage: BudgetUsage) -> None:
        await self._hold("budget_usage", usage)

    async def _hold(self, kind: str, event: ProxyLog | Analytics | BudgetUsage) -> None:
        self.note(kind, event)
        while not self.gate.exists():
            await asyncio.sleep(0.01)


class Stuck(Collector):
    """Never comes back, and blocks the thread that it was given."""

    def handle_analytics(self, ctx: Context, analytics: Analytics) -> None:
        self.note("analytics", analytics)
        threading.Event().wait()


class Counting(Collector):
    """Tells how many tasks the loops of its processes have: calls in a header, the collectors' in its file."""

    async def on_before_write_headers(self, ctx: Context, response: Response) -> None:
        response.headers["x-tasks"] = str(len(asyncio.all_tasks()))

    async def handle_analytics(self, ctx: Context, analytics: Analytics) -> None:
        os.write(self.file, f"{analytics.request_id} {len(asyncio.all_tasks())}\n".encode())
