"""Sorts a worker's requests into model calls, management and health."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from weir_core.ids import new_id
from weir_core.vendors import Vendor, get_vendor
from weir_proxy.client import ClientRequest
from weir_proxy.gateway import Gateway
from weir_proxy.pipeline import serve_call
from weir_proxy.plain import PlainAnswer, plain_answer, problem
from weir_proxy.routes import match_llm
from weir_streams.errors import SpoolFullError, TooManyInFlightError

_MANAGEMENT_PREFIXES = ("/api/", "/openapi.json", "/docs")

Endpoint = Callable[[ClientRequest], Awaitable[None]]
"""Answers one request."""


class ProxyApp:
    """What a worker serves: no framework between the socket and the pipeline.

    Args:
        gateway: What the calls share.
        management: Takes everything under ``/api/`` that is no model call.
        endpoints: Exact path to endpoint (health, readiness, metrics).
    """

    def __init__(self, gateway: Gateway, management: Endpoint, endpoints: Mapping[str, Endpoint]) -> None:
        self._gateway = gateway
        self._management = management
        self._endpoints = endpoints

    async def __call__(self, client: ClientRequest) -> None:
        """Serve one request."""
        configuration = self._gateway.configuration
        target = configuration.target(client.method, client.raw_path)
        if target is None:
            await self._other(client)
            return
        try:
            await serve_call(self._gateway, configuration, target, client)
        except (SpoolFullError, TooManyInFlightError) as error:
            self._gateway.metrics.refused_without_event("spool_full")
            await client.answer(*_unavailable(target.served.vendor, str(error)))

    async def _other(self, client: ClientRequest) -> None:
        path = client.raw_path
        endpoint = self._endpoints.get(path)
        route = match_llm(path)
        if endpoint is not None:
            await endpoint(client)
        elif route is not None:
            await client.answer(*_unknown_llm(route.slug or str(route.llm_id)))
        elif path.startswith(_MANAGEMENT_PREFIXES):
            await self._management(client)
        else:
            await client.answer(
                *problem(404, f"There is nothing at {path}. Model calls go to /llm/call/<slug>/...")
            )


def _unknown_llm(name: str) -> PlainAnswer:
    request_id = new_id()
    body = get_vendor("openai").error(404, "llm_not_found", f"There is no LLM {name!r} here.", request_id)
    return plain_answer(404, body, "application/json", (("x-request-id", request_id),))


def _unavailable(vendor: Vendor, message: str) -> PlainAnswer:
    request_id = new_id()
    body = vendor.error(503, "spool_full", message, request_id)
    headers = (("x-request-id", request_id), ("retry-after", "1"))
    return plain_answer(503, body, "application/json", headers)
