"""The worker's ASGI application: sorts requests into model calls, management and health."""

from __future__ import annotations

from weir_core.ids import new_id
from weir_core.vendors import Vendor, get_vendor
from weir_proxy.asgi import Endpoint, Receive, Scope, Send
from weir_proxy.gateway import Gateway
from weir_proxy.pipeline import serve_call
from weir_proxy.plain import send_bytes, send_problem
from weir_proxy.routes import match_llm
from weir_streams.errors import SpoolFullError, TooManyInFlightError

_MANAGEMENT_PREFIXES = ("/api/", "/openapi.json", "/docs")


class ProxyApp:
    """Raw ASGI: no framework and no middleware between the socket and the pipeline.

    Args:
        gateway: What the calls share.
        management: Takes everything under ``/api/`` that is no model call.
        endpoints: Exact path to endpoint (health, readiness, metrics).
    """

    def __init__(self, gateway: Gateway, management: Endpoint, endpoints: dict[str, Endpoint]) -> None:
        self._gateway = gateway
        self._management = management
        self._endpoints = endpoints

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        raw_path: str = scope["raw_path"].decode("ascii")
        configuration = self._gateway.configuration
        target = configuration.target(scope["method"], raw_path)
        if target is None:
            await self._other(raw_path, scope, receive, send)
            return
        vendor = target.served.vendor
        try:
            await serve_call(self._gateway, configuration, target, scope, receive, send)
        except (SpoolFullError, TooManyInFlightError) as error:
            self._gateway.metrics.refused_without_event("spool_full")
            await _unavailable(send, vendor, str(error))

    async def _other(self, raw_path: str, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = self._endpoints.get(raw_path)
        route = match_llm(raw_path)
        if endpoint is not None:
            await endpoint(scope, receive, send)
        elif route is not None:
            await _unknown_llm(send, route.slug or str(route.llm_id))
        elif raw_path.startswith(_MANAGEMENT_PREFIXES):
            await self._management(scope, receive, send)
        else:
            await send_problem(
                send, 404, f"There is nothing at {raw_path}. Model calls go to /llm/call/<slug>/..."
            )


async def _unknown_llm(send: Send, name: str) -> None:
    request_id = new_id()
    body = get_vendor("openai").error(404, "llm_not_found", f"There is no LLM {name!r} here.", request_id)
    await send_bytes(send, 404, body, "application/json", (("x-request-id", request_id),))


async def _unavailable(send: Send, vendor: Vendor, message: str) -> None:
    request_id = new_id()
    body = vendor.error(503, "spool_full", message, request_id)
    headers = (("x-request-id", request_id), ("retry-after", "1"))
    await send_bytes(send, 503, body, "application/json", headers)
