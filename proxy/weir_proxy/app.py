"""Sorts a worker's requests into model calls, management and health."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from weir_core.ids import new_id
from weir_core.vendors import Vendor, get_vendor
from weir_proxy.client import ClientRequest
from weir_proxy.configuration import Configuration
from weir_proxy.gateway import Gateway
from weir_proxy.pipeline import serve_call
from weir_proxy.plain import PlainAnswer, plain_answer, problem
from weir_proxy.routes import match_llm
from weir_streams.errors import SpoolFullError, TooManyInFlightError

_REFERENCE = ("/openapi.json", "/docs")
_MANAGEMENT = ("/api/", *_REFERENCE)
_ADMIN_ONLY = ("/metrics", *_REFERENCE)
_NOT_LOADED = (
    "The gateway has no configuration yet; try again in a moment. Its /ready says what it waits for."
)

Endpoint = Callable[[ClientRequest], Coroutine[Any, Any, None]]
"""Answers one request."""


class ProxyApp:
    """What a worker serves to callers: no framework between the socket and the pipeline.

    Args:
        gateway: What the calls share.
        others: Takes all that is no model call.
    """

    def __init__(self, gateway: Gateway, others: Endpoint) -> None:
        self._gateway = gateway
        self._others = others

    async def __call__(self, client: ClientRequest) -> None:
        """Serve one request."""
        configuration = self._gateway.configuration
        target = configuration.target(client.method, client.raw_path)
        if target is None:
            await self._other(client, configuration)
            return
        try:
            await serve_call(self._gateway, configuration, target, client)
        except (SpoolFullError, TooManyInFlightError) as error:
            self._gateway.metrics.refused_without_event("spool_full")
            await client.answer(*_unavailable(target.served.vendor, "spool_full", str(error)))

    async def _other(self, client: ClientRequest, configuration: Configuration) -> None:
        route = match_llm(client.raw_path)
        if route is None:
            await self._others(client)
        elif not configuration.is_loaded:
            await client.answer(*_unavailable(get_vendor("openai"), "configuration_unavailable", _NOT_LOADED))
        else:
            await client.answer(*_unknown_llm(route.slug or str(route.llm_id)))


class OtherPaths:
    """All that is no model call: what stands beside the calls, and alone on the admin listener.

    Args:
        management: Takes everything under ``/api/``, and the API's reference.
        endpoints: Exact path to endpoint.
        is_public: Whether others than this machine reach the listener. It has neither the reference nor
            ``/metrics`` then: these are on the admin listener.
    """

    def __init__(self, management: Endpoint, endpoints: Mapping[str, Endpoint], *, is_public: bool) -> None:
        self._management = management
        self._endpoints = endpoints
        self._is_public = is_public

    async def __call__(self, client: ClientRequest) -> None:
        """Serve one request."""
        path = client.raw_path
        endpoint = self._endpoints.get(path)
        if self._is_public and path.startswith(_ADMIN_ONLY):
            detail = f"{path} is on the admin listener (admin_port) when others reach this one."
            await client.answer(*problem(404, detail))
        elif endpoint is not None:
            await endpoint(client)
        elif path.startswith(_MANAGEMENT):
            await self._management(client)
        else:
            detail = f"There is nothing at {path}. Model calls go to the gateway's port, /llm/call/<slug>/..."
            await client.answer(*problem(404, detail))


def _unknown_llm(name: str) -> PlainAnswer:
    request_id = new_id()
    body = get_vendor("openai").error(404, "llm_not_found", f"There is no LLM {name!r} here.", request_id)
    return plain_answer(404, body, "application/json", (("x-request-id", request_id),))


def _unavailable(vendor: Vendor, code: str, message: str) -> PlainAnswer:
    request_id = new_id()
    body = vendor.error(503, code, message, request_id)
    headers = (("x-request-id", request_id), ("retry-after", "1"))
    return plain_answer(503, body, "application/json", headers)
