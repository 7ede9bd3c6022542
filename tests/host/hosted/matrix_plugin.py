"""One plugin with every handler; the call's metadata (or an event's model) say what a handler does."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from weir_sdk import (
    BasePlugin,
    Context,
    Credential,
    DataCollectionResponse,
    Event,
    PermanentError,
    PluginResponse,
    Request,
    Response,
    ResponseWriteResponse,
    StreamComplete,
)


def quit_or_raise(what: str) -> None:
    if what == "raise":
        raise ValueError("no luck")
    if what == "raise nothing":
        raise KeyError
    if what == "raise for good":
        raise PermanentError("never")
    if what == "exit":
        sys.exit(3)
    if what == "cancel":
        raise asyncio.CancelledError("no")


def act_on_request(ctx: Context, request: Request) -> Any:
    what = ctx.metadata["do"]
    quit_or_raise(what)
    match what:
        case "headers":
            request.headers["x-new"] = "1"
            request.headers["ACCEPT"] = "text/plain"
            del request.headers["X-Old"]
        case "own headers":
            request.headers["Content-Length"] = "999"
            request.headers["Connection"] = "close"
        case "bad header":
            request.headers["X-New"] = "a\nb"
        case "json":
            request.json()["model"] = "other"
        case "unwritable json":
            request.json()["model"] = object()
        case "body":
            request.body = b"\x00\xff"
        case "no body":
            request.body = b""
        case "target":
            request.method, request.path, request.query_string = "PUT", "/elsewhere", "b=2"
        case "no query":
            request.query_string = ""
        case "bad path":
            request.path = "elsewhere"
        case "identity":
            request.app_id, request.user_id, request.authenticated = 99, "mallory", False
            request.auth_claims["admin"] = "yes"
        case "read only":
            request.json()
        case "another request":
            return PluginResponse(modified=True, request=Request(path="/new", body=b"new"))
        case "returned":
            request.headers["X-In-Place"] = "1"
            return PluginResponse(modified=True, headers={"x-returned": "1"}, body=b"returned")
        case "not modified":
            request.headers["X-In-Place"] = "1"
            return PluginResponse(headers={"x-returned": "1"}, body=b"returned")
        case "block":
            return PluginResponse(block=True)
        case "block with all":
            return PluginResponse(
                block=True,
                modified=True,
                status_code=418,
                headers={"x-why": "tea", "content-length": "3"},
                body=b"tea",
                error_message="a teapot",
                context_updates={"blocked": "yes"},
            )
        case "serve":
            return PluginResponse(block=True, status_code=200, body=b"{}")
        case "bad status":
            return PluginResponse(block=True, status_code=42)
        case "rubbish":
            return "ok"
        case "updates":
            return PluginResponse(context_updates={"do": "updated", "more": "1"})
        case "credential":
            return PluginResponse(
                credential=Credential(user_id="ada", username="Ada", claims={"team": "x"}, app_id=7)
            )
        case "bare credential":
            return PluginResponse(credential=Credential())
        case "bad credential":
            return PluginResponse(credential=Credential(app_id="7"))  # type: ignore[arg-type]
        case "what it sees":
            seen = (
                *(ctx.request_id, ctx.llm_id, ctx.llm_slug, ctx.vendor, ctx.app_id, ctx.user_id),
                *(ctx.edge_id, ctx.edge_namespace, ctx.runtime, sorted(ctx.trace_context.items())),
                *(
                    sorted(ctx.metadata.items()),
                    request.method,
                    request.path,
                    sorted(request.headers.items()),
                ),
                *(request.body, request.query_string, request.remote_addr, request.user_id),
                *(request.app_id, sorted(request.auth_claims.items()), request.authenticated),
            )
            return PluginResponse(block=True, error_message=repr(seen))
    act_on_metadata(ctx, what)
    return None


def act_on_metadata(ctx: Context, what: str) -> None:
    match what:
        case "notes":
            ctx.metadata["note"] = "kept"
            ctx.metadata["do"] = "changed"
            del ctx.metadata["old"]
        case "bad notes":
            ctx.metadata["note"] = 5  # type: ignore[assignment]


def act_on_response(ctx: Context, response: Response) -> Any:
    what = ctx.metadata["do"]
    quit_or_raise(what)
    match what:
        case "headers":
            response.headers["x-new"] = "1"
            del response.headers["X-Old"]
        case "bad header":
            response.headers["X New"] = "1"
        case "status":
            response.status_code = 202
        case "bad status":
            response.status_code = 99
        case "json":
            response.json()["id"] = 2
        case "body":
            response.body = b"\xff"
        case "no body":
            response.body = b""
        case "returned":
            return ResponseWriteResponse(modified=True, headers={"x-returned": "1"}, body=b"returned")
        case "not modified":
            response.body = b"in place"
            return ResponseWriteResponse(body=b"returned")
        case "rubbish":
            return response
        case "what it sees":
            seen = (
                *(response.status_code, sorted(response.headers.items()), response.body),
                *(response.is_stream_chunk, response.request_id, ctx.request_id),
            )
            raise ValueError(repr(seen))
    act_on_metadata(ctx, what)
    return None


def act_on_event(event: Event) -> Any:
    what = getattr(event, "model_name", None) or event.vendor or ""
    quit_or_raise(what)
    match what:
        case "handled":
            return DataCollectionResponse(handled=True)
        case "not collected":
            return DataCollectionResponse(success=False, handled=True, error_message="later")
        case "refused":
            return DataCollectionResponse(success=False, error_message="never", retryable=False)
        case "rubbish":
            return True
        case "what it sees":
            raise ValueError(repr(event))
    return None


class Matrix(BasePlugin):
    """Collects events one by one."""

    async def initialize(self, ctx: Context, config: dict[str, Any]) -> None:
        if config.get("fail"):
            raise ValueError("bad config")
        self.config = config

    async def handle_pre_auth(self, ctx: Context, request: Request) -> Any:
        return act_on_request(ctx, request)

    def handle_post_auth(self, ctx: Context, request: Request) -> Any:
        if ctx.metadata["do"] == "config":
            return PluginResponse(block=True, error_message=repr(self.config))
        return act_on_request(ctx, request)

    async def handle_auth(self, ctx: Context, request: Request) -> Any:
        return act_on_request(ctx, request)

    async def on_before_write_headers(self, ctx: Context, response: Response) -> Any:
        return act_on_response(ctx, response)

    def on_before_write(self, ctx: Context, response: Response) -> Any:
        return act_on_response(ctx, response)

    async def on_stream_complete(self, ctx: Context, stream: StreamComplete) -> Any:
        what = ctx.metadata["do"]
        quit_or_raise(what)
        if what == "what it sees":
            raise ValueError(repr((*(getattr(stream, name) for name in StreamComplete.__slots__),)))
        act_on_metadata(ctx, what)
        return "ok" if what == "rubbish" else None

    async def handle_proxy_log(self, ctx: Context, log: Event) -> Any:
        if log.llm_slug == "what it sees":
            raise ValueError(repr((ctx.app_id, ctx.user_id, ctx.request_id, sorted(ctx.metadata.items()))))
        return act_on_event(log)

    def handle_analytics(self, ctx: Context, analytics: Event) -> Any:
        return act_on_event(analytics)

    async def handle_budget_usage(self, ctx: Context, usage: Event) -> Any:
        return act_on_event(usage)


class BatchMatrix(BasePlugin):
    """Collects events in batches; the first event says what to do with all of them."""

    async def handle_batch(self, ctx: Context, events: Sequence[Event]) -> Any:
        what = getattr(events[0], "model_name", None) or ""
        quit_or_raise(what)
        match what:
            case "one by one":
                return [DataCollectionResponse(handled=index % 2 == 0) for index in range(len(events))]
            case "too few":
                return [None] * (len(events) - 1)
            case "rubbish":
                return "ok"
            case "what it sees":
                raise ValueError(sha256(repr(list(events)).encode()).hexdigest())
        return None
