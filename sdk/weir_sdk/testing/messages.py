"""What handlers get, made with values that a test need not care about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from weir_sdk.context import CallInfo, Context, Surroundings
from weir_sdk.events import Analytics, BudgetUsage, ProxyLog
from weir_sdk.request import Request
from weir_sdk.response import Response
from weir_sdk.services import GatewayService, Logger, Runtime, Services
from weir_sdk.stream import StreamComplete
from weir_sdk.testing.fakes import FakeGateway, RecordingLogger

_IDENTITY = {
    "event_id": "0197a1b2-0000-7000-8000-000000000001",
    "request_id": "0197a1b2-0000-7000-8000-000000000000",
    "timestamp": "2026-01-31T12:00:00.000000Z",
    "app_id": 1,
    "llm_id": 1,
    "llm_slug": "my-llm",
    "vendor": "openai",
}


def make_context(
    *,
    runtime: Runtime = "gateway",
    request_id: str = "0197a1b2-0000-7000-8000-000000000000",
    llm_id: int | None = 1,
    llm_slug: str = "my-llm",
    vendor: str = "openai",
    app_id: int | None = None,
    user_id: str | None = None,
    metadata: dict[str, str] | None = None,
    trace_context: dict[str, str] | None = None,
    edge_id: str = "edge-1",
    edge_namespace: str = "",
    logger: Logger | None = None,
    gateway: GatewayService | None = None,
) -> Context:
    """A context; every argument is what the plugin will see under that name."""
    services = Services(
        logger or RecordingLogger(), (gateway or FakeGateway()) if runtime == "gateway" else None
    )
    call = CallInfo(
        request_id=request_id,
        llm_id=llm_id,
        llm_slug=llm_slug,
        vendor=vendor,
        app_id=app_id,
        user_id=user_id,
        metadata=metadata or {},
        trace_context=trace_context or {},
    )
    return Context(
        call,
        Surroundings(runtime=runtime, services=services, edge_id=edge_id, edge_namespace=edge_namespace),
    )


def make_request(
    *,
    method: str = "POST",
    path: str = "/llm/call/my-llm/v1/chat/completions",
    headers: Mapping[str, str] | None = None,
    json: Any = None,
    body: bytes = b"",
    query_string: str = "",
    remote_addr: str = "203.0.113.7:50000",
    user_id: str | None = None,
    app_id: int | None = None,
    auth_claims: dict[str, str] | None = None,
    authenticated: bool = False,
) -> Request:
    """A request; give its body as ``json`` or as ``body``."""
    return Request(
        method=method,
        path=path,
        headers={"Content-Type": "application/json", **(headers or {})},
        body=body if json is None else msgspec.json.encode(json),
        query_string=query_string,
        remote_addr=remote_addr,
        user_id=user_id,
        app_id=app_id,
        auth_claims=auth_claims,
        authenticated=authenticated,
    )


def make_response(
    *,
    status_code: int = 200,
    headers: Mapping[str, str] | None = None,
    json: Any = None,
    body: bytes = b"",
    is_stream_chunk: bool = False,
    request_id: str = "0197a1b2-0000-7000-8000-000000000000",
) -> Response:
    """An answer of the model; give its body as ``json`` or as ``body``."""
    return Response(
        status_code=status_code,
        headers={"Content-Type": "application/json", **(headers or {})},
        body=body if json is None else msgspec.json.encode(json),
        is_stream_chunk=is_stream_chunk,
        request_id=request_id,
    )


def make_stream_complete(
    chunks: Iterable[bytes] = (b"[DONE]",),
    *,
    status_code: int = 200,
    headers: Mapping[str, str] | None = None,
    request_json: Any = None,
    request_body: bytes = b"",
) -> StreamComplete:
    """A finished stream of these events' data; give the request's body as ``request_json`` or as bytes."""
    bodies = [b"data: %b\n\n" % chunk for chunk in chunks]
    return StreamComplete(
        body=b"".join(bodies),
        headers={"Content-Type": "text/event-stream", **(headers or {})},
        status_code=status_code,
        chunk_count=len(bodies),
        request_body=request_body if request_json is None else msgspec.json.encode(request_json),
    )


def make_proxy_log(**values: Any) -> ProxyLog:
    """A proxy log of a call that was served; any field can be given."""
    defaults = {
        **_IDENTITY,
        "model_name": "gpt-4o",
        "method": "POST",
        "path": "/llm/call/my-llm/v1/chat/completions",
        "response_code": 200,
        "outcome": "served",
    }
    return ProxyLog(**{**defaults, **values})


def make_analytics(**values: Any) -> Analytics:
    """An analytics event of a call that cost something; any field can be given."""
    defaults = {
        **_IDENTITY,
        "model_name": "gpt-4o",
        "prompt_tokens": 12,
        "response_tokens": 30,
        "total_tokens": 42,
        "usage_source": "provider",
        "cost": "0.00033",
        "choices": 1,
        "finish_reasons": ["stop"],
    }
    return Analytics(**{**defaults, **values})


def make_budget_usage(**values: Any) -> BudgetUsage:
    """A budget event that goes with ``make_analytics``; any field can be given."""
    defaults = {
        **_IDENTITY,
        "tokens_used": 42,
        "prompt_tokens": 12,
        "response_tokens": 30,
        "cost": "0.00033",
        "period_id": "2026-01",
        "period_start": "2026-01-01T00:00:00.000000Z",
        "period_end": "2026-02-01T00:00:00.000000Z",
    }
    return BudgetUsage(**{**defaults, **values})
