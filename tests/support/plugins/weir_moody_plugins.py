"""One plugin that does at any stage what the call says, under ``python://`` and, run as a script, ``file://``.

A call says it in ``tracestate: do=<stage>-<manner>``, which every hook sees, and to collectors in its own
``X-Request-Id: <manner>``. Where nothing is said, a handler leaves its mark: the version of its config.
"""

from __future__ import annotations

import asyncio
import os
import sys
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
    StreamComplete,
    serve,
)

BLOCKED_S = 0.6
"""Longer than any deadline of those that block."""


class Moody(BasePlugin):
    """Config: ``version``; ``directory`` of its notes and of the file ``gate``, whose content decides its start;
    ``refuse``, with which it does not start at all.
    """

    def __init__(self) -> None:
        super().__init__("moody", "1.0.0", "for tests")
        self.begun: set[tuple[str, str]] = set()

    async def initialize(self, ctx: Context, config: dict[str, Any]) -> None:
        if config.get("refuse"):
            raise ValueError("this config will not do")
        self.version = config["version"]
        self.directory = Path(config["directory"])
        self.notes = os.open(self.directory / "notes", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        while (gate := self._gate()) == "closed":
            await asyncio.sleep(0.02)
        if gate == "broken":
            raise RuntimeError("the gate is broken")

    async def handle_pre_auth(self, ctx: Context, request: Request) -> Any:
        if rubbish := await self._mood(ctx, "pre_auth"):
            return rubbish
        request.headers["x-mark"] = self.version
        return None

    async def handle_auth(self, ctx: Context, request: Request) -> Any:
        if rubbish := await self._mood(ctx, "auth"):
            return rubbish
        if request.headers.get("authorization") != "Bearer open-sesame":
            return PluginResponse(block=True, status_code=401)
        return PluginResponse(credential=Credential(user_id=self.version))

    async def handle_post_auth(self, ctx: Context, request: Request) -> Any:
        if rubbish := await self._mood(ctx, "post_auth"):
            return rubbish
        request.headers["x-mark"] = self.version
        return None

    async def on_before_write_headers(self, ctx: Context, response: Response) -> Any:
        if rubbish := await self._mood(ctx, "response_headers"):
            return rubbish
        response.headers["x-mark"] = self.version
        return None

    async def on_before_write(self, ctx: Context, response: Response) -> Any:
        stage = "stream_chunk" if response.is_stream_chunk else "response_body"
        if rubbish := await self._mood(ctx, stage):
            return rubbish
        if response.body != b"[DONE]":
            response.json()["mark"] = self.version
        return None

    async def on_stream_complete(self, ctx: Context, stream: StreamComplete) -> Any:
        if rubbish := await self._mood(ctx, "stream_complete"):
            return rubbish
        self._note("told", ctx.request_id, self.version)
        return None

    async def handle_proxy_log(self, ctx: Context, log: ProxyLog) -> Any:
        return await self._collect(log)

    async def handle_analytics(self, ctx: Context, analytics: Analytics) -> Any:
        return await self._collect(analytics)

    async def handle_budget_usage(self, ctx: Context, usage: BudgetUsage) -> Any:
        return await self._collect(usage)

    async def _collect(self, event: ProxyLog | Analytics | BudgetUsage) -> Any:
        if rubbish := await self._act(event.client_request_id or "", event.request_id, "data_collection"):
            return rubbish
        self._note("told", event.request_id, self.version)
        return DataCollectionResponse(handled=True)

    async def _mood(self, ctx: Context, stage: str) -> object:
        said = ctx.trace_context.get("tracestate", "").removeprefix("do=")
        asked_of, _, manner = said.partition("-")
        return await self._act(manner, ctx.request_id, stage) if asked_of == stage else None

    async def _act(self, manner: str, request_id: str, stage: str) -> object:
        """Misbehave, at the first event of a stream only; what is returned is to be answered as it is."""
        if (request_id, stage) in self.begun and stage != "data_collection":
            return None
        self.begun.add((request_id, stage))
        match manner:
            case "raises":
                raise RuntimeError("secret-detail-of-the-plugin")
            case "exits":
                sys.exit(3)
            case "rubbish":
                return {"modified": "perhaps"}
            case "waits":
                await asyncio.Event().wait()
            case "blocks":
                time.sleep(BLOCKED_S)
                if stage == "data_collection":
                    # What it has collected by now could not be taken back.
                    return "too late"
            case "crashed" | "killed":
                self._note("at-work", request_id, stage, str(os.getpid()))
                while self._gate() != "crash" or manner == "killed":
                    await asyncio.sleep(0.02)
                os._exit(9)
        return None

    def _gate(self) -> str:
        try:
            return (self.directory / "gate").read_text()
        except FileNotFoundError:
            return ""

    def _note(self, *words: str) -> None:
        os.write(self.notes, " ".join(words).encode() + b"\n")


if __name__ == "__main__":
    serve(Moody)
