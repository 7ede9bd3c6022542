"""Test a plugin without a gateway: make what its handlers get, run them, look at what came of it.

def test_the_team_is_named() -> None:
    request = make_request(json={"model": "gpt-4o"})
    run(RequestEnricher().handle_post_auth, make_context(app_id=7), request)
    assert request.headers["X-App-Id"] == "7"
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar, overload

import msgspec

from weir_sdk.context import CallInfo, Context, Surroundings
from weir_sdk.errors import MissingScopeError, NotFoundError
from weir_sdk.events import Analytics, BudgetUsage, ProxyLog
from weir_sdk.request import Request
from weir_sdk.response import Response
from weir_sdk.services import AppInfo, GatewayService, LlmInfo, Logger, ModelPriceInfo, Runtime, Services

__all__ = [
    "FakeGateway",
    "LogLine",
    "RecordingLogger",
    "make_analytics",
    "make_budget_usage",
    "make_context",
    "make_proxy_log",
    "make_request",
    "make_response",
    "run",
]

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")

_IDENTITY = {
    "event_id": "0197a1b2-0000-7000-8000-000000000001",
    "request_id": "0197a1b2-0000-7000-8000-000000000000",
    "timestamp": "2026-01-31T12:00:00.000000Z",
    "app_id": 1,
    "llm_id": 1,
    "llm_slug": "my-llm",
    "vendor": "openai",
}


@overload
def run(
    handler: Callable[_Arguments, Coroutine[Any, Any, _Result]],
    *args: _Arguments.args,
    **kwargs: _Arguments.kwargs,
) -> _Result: ...
@overload
def run(
    handler: Callable[_Arguments, _Result | Awaitable[_Result]],
    *args: _Arguments.args,
    **kwargs: _Arguments.kwargs,
) -> _Result: ...
def run(handler: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a handler and return its answer, whether it is ``def`` or ``async def``.

    For tests that are plain functions; in an ``async def`` test, await the handler.
    """
    answer = handler(*args, **kwargs)
    return asyncio.run(_awaiting(answer)) if inspect.isawaitable(answer) else answer


@dataclass(frozen=True)
class LogLine:
    """One line that a plugin logged."""

    level: str
    message: str
    values: dict[str, Any]


@dataclass
class RecordingLogger:
    """Keeps what a plugin logs in ``lines``."""

    lines: list[LogLine] = field(default_factory=list)

    def debug(self, message: str, /, **values: Any) -> None:
        """Keep a line."""
        self.lines.append(LogLine("debug", message, values))

    def info(self, message: str, /, **values: Any) -> None:
        """Keep a line."""
        self.lines.append(LogLine("info", message, values))

    def warning(self, message: str, /, **values: Any) -> None:
        """Keep a line."""
        self.lines.append(LogLine("warning", message, values))

    def error(self, message: str, /, **values: Any) -> None:
        """Keep a line."""
        self.lines.append(LogLine("error", message, values))


class FakeGateway:
    """``ctx.services.gateway`` with what a test puts into it.

    Args:
        apps: Apps that can be read.
        llms: LLMs that can be read.
        prices: Prices that can be read.
        scopes: The service scopes that the plugin has; all of them unless given.
    """

    def __init__(
        self,
        *,
        apps: Iterable[AppInfo] = (),
        llms: Iterable[LlmInfo] = (),
        prices: Iterable[ModelPriceInfo] = (),
        scopes: Iterable[str] = ("apps.read", "llms.read", "pricing.read"),
    ) -> None:
        self._apps = {app.id: app for app in apps}
        self._llms = {llm.id: llm for llm in llms}
        self._prices = {(price.model, price.vendor): price for price in prices}
        self._scopes = frozenset(scopes)

    async def get_app(self, app_id: int) -> AppInfo:
        """One app."""
        return self._one(self._apps, app_id, "apps.read")

    async def list_apps(self) -> list[AppInfo]:
        """All apps, by id."""
        self._require("apps.read")
        return [app for _, app in sorted(self._apps.items())]

    async def get_llm(self, llm_id: int) -> LlmInfo:
        """One LLM."""
        return self._one(self._llms, llm_id, "llms.read")

    async def list_llms(self) -> list[LlmInfo]:
        """All LLMs, by id."""
        self._require("llms.read")
        return [llm for _, llm in sorted(self._llms.items())]

    async def get_model_price(self, model: str, vendor: str) -> ModelPriceInfo:
        """One price."""
        return self._one(self._prices, (model, vendor), "pricing.read")

    def _one(self, items: Mapping[Any, _Result], key: object, scope: str) -> _Result:
        self._require(scope)
        if key not in items:
            raise NotFoundError(f"the fake gateway has nothing under {key!r}")
        return items[key]

    def _require(self, scope: str) -> None:
        if scope not in self._scopes:
            raise MissingScopeError(f"the fake gateway was made without the scope {scope}")


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


async def _awaiting(awaitable: Awaitable[_Result]) -> _Result:
    return await awaitable
