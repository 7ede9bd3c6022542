"""``MicrogatewayManagementService`` as one plugin sees it: what its scopes allow.

The plugin's id in a request is not looked at: the channel says who calls.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias, TypeVar

import grpc
from grpc import aio

from weir_host.services import SnapshotGateway
from weir_proto import gateway_services_pb2 as pb
from weir_proto import plugin_events_pb2 as events_pb
from weir_sdk.errors import MetadataTooLarge, PayloadTooLarge, QueueFull, ServiceError
from weir_sdk.wire.gateway import app_to_wire, llm_to_wire, price_to_wire, service_status
from weir_sdk.wire.payloads import refusal_to_wire

_SERVICE: Final = "MicrogatewayManagementService"
_EVENTS: Final = "PluginEventService"
_PAGE: Final = 10
_LARGEST_PAGE: Final = 1000

_Item = TypeVar("_Item")
Method: TypeAlias = Callable[[Any], Awaitable[Any]]


def service_handlers(gateway: SnapshotGateway | None) -> Sequence[grpc.GenericRpcHandler]:
    """What a plugin's service channel answers.

    Args:
        gateway: The plugin's own view of the configuration; None where it runs in the studio.
    """
    methods = {} if gateway is None else _Services(gateway).methods()
    management = pb.DESCRIPTOR.services_by_name[_SERVICE]
    events = events_pb.DESCRIPTOR.services_by_name[_EVENTS]
    return (_handlers(management, methods), _handlers(events, {}))


class _Services:
    """The services that exist; the rest is answered with UNIMPLEMENTED."""

    def __init__(self, gateway: SnapshotGateway) -> None:
        self._gateway = gateway

    def methods(self) -> Mapping[str, Method]:
        """By the names of the service."""
        return {
            "ListLLMs": self.list_llms,
            "GetLLM": self.get_llm,
            "ListApps": self.list_apps,
            "GetApp": self.get_app,
            "ListModelPrices": self.list_model_prices,
            "GetModelPrice": self.get_model_price,
            "GetLicenseInfo": self.get_license_info,
            "QueueControlPayload": self.queue_control_payload,
        }

    async def list_llms(self, request: pb.ListLLMsRequest) -> pb.ListLLMsResponse:
        active = request.is_active if request.HasField("is_active") else True
        found = [
            llm
            for llm in await self._gateway.list_llms()
            if llm.is_active == active and request.vendor in ("", llm.vendor)
        ]
        page = _page(found, request.page, request.limit)
        return pb.ListLLMsResponse(llms=map(llm_to_wire, page), total_count=len(found))

    async def get_llm(self, request: pb.GetLLMRequest) -> pb.GetLLMResponse:
        return pb.GetLLMResponse(llm=llm_to_wire(await self._gateway.get_llm(request.llm_id)))

    async def list_apps(self, request: pb.ListAppsRequest) -> pb.ListAppsResponse:
        active = request.is_active if request.HasField("is_active") else True
        found = [app for app in await self._gateway.list_apps() if app.is_active == active]
        page = _page(found, request.page, request.limit)
        return pb.ListAppsResponse(apps=map(app_to_wire, page), total_count=len(found))

    async def get_app(self, request: pb.GetAppRequest) -> pb.GetAppResponse:
        return pb.GetAppResponse(app=app_to_wire(await self._gateway.get_app(request.app_id)))

    async def list_model_prices(self, request: pb.ListModelPricesRequest) -> pb.ListModelPricesResponse:
        prices = self._gateway.list_own_prices(request.vendor)
        return pb.ListModelPricesResponse(model_prices=map(price_to_wire, prices))

    async def get_model_price(self, request: pb.GetModelPriceRequest) -> pb.GetModelPriceResponse:
        price = await self._gateway.get_model_price(request.model_name, request.vendor)
        return pb.GetModelPriceResponse(model_price=price_to_wire(price))

    async def queue_control_payload(
        self, request: pb.QueueControlPayloadRequest
    ) -> pb.QueueControlPayloadResponse:
        try:
            pending = await self._gateway.send_to_control(
                request.payload, request.correlation_id, request.metadata
            )
        except (PayloadTooLarge, MetadataTooLarge, QueueFull) as error:
            return refusal_to_wire(error)
        return pb.QueueControlPayloadResponse(success=True, pending_count=pending)

    async def get_license_info(self, _: pb.GetLicenseInfoRequest) -> pb.GetLicenseInfoResponse:
        return pb.GetLicenseInfoResponse(license_valid=True, days_remaining=-1, license_type="community")


def _handlers(service: Any, methods: Mapping[str, Method]) -> grpc.GenericRpcHandler:
    handlers = {
        method.name: _unary(methods[method.name], method)
        if method.name in methods
        else _not_available(method.name)
        for method in service.methods
    }
    return grpc.method_handlers_generic_handler(service.full_name, handlers)


def _unary(answer: Method, method: Any) -> Any:
    request_type = getattr(pb, method.input_type.name)

    async def serve(request: Any, context: aio.ServicerContext[Any, Any]) -> Any:
        try:
            return await answer(request)
        except ServiceError as error:
            await context.abort(grpc.StatusCode[service_status(error)], str(error))

    return grpc.unary_unary_rpc_method_handler(
        serve, request_type.FromString, lambda response: response.SerializeToString()
    )


def _not_available(name: str) -> Any:
    async def refuse(_: bytes, context: aio.ServicerContext[Any, Any]) -> None:
        message = f"{name} is not available in this version of the gateway"
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, message)

    return grpc.unary_unary_rpc_method_handler(refuse)


def _page(items: Sequence[_Item], page: int, limit: int) -> Sequence[_Item]:
    size = min(limit, _LARGEST_PAGE) if limit > 0 else _PAGE
    first = (max(page, 1) - 1) * size
    return items[first : first + size]
