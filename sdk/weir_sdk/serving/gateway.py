"""``ctx.services.gateway`` of a plugin process: the host's management service, found through the broker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc import aio

from weir_proto import gateway_services_pb2 as pb
from weir_sdk.errors import ServiceNotAvailableError, ServiceUnreachableError
from weir_sdk.payloads import check_payload, payload_json
from weir_sdk.services import AppInfo, LlmInfo, ModelPriceInfo
from weir_sdk.serving.broker import Broker
from weir_sdk.wire.gateway import app_from_wire, llm_from_wire, price_from_wire, service_error
from weir_sdk.wire.payloads import refusal_from_wire

_SERVICE: Final = pb.DESCRIPTOR.services_by_name["MicrogatewayManagementService"]
_OFFER_S: Final = 5.0
_CALL_S: Final = 10.0
_PAGE: Final = 100
_CHANNEL: Final = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # Go's servers take no percent-encoded path for an authority.
    ("grpc.default_authority", "localhost"),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.enable_http_proxy", 0),
)

_Item = TypeVar("_Item")


class RemoteGateway:
    """Reads of the host's configuration. Dialled in the background, and again when the host has moved."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._plugin_id = 0
        self._broker_id = 0
        self._target = ""
        self._channel: aio.Channel | None = None
        self._dialling: asyncio.Task[aio.Channel] | None = None

    def introduce(self, plugin_id: int, broker_id: int) -> None:
        """Note who we are to the host and where it offers its services, and begin to dial; never blocks."""
        self._plugin_id = plugin_id or self._plugin_id
        if broker_id and broker_id != self._broker_id:
            self._broker_id = broker_id
            self._dialling = asyncio.create_task(self._dial())

    async def close(self) -> None:
        """Close the connection."""
        if self._dialling is not None:
            self._dialling.cancel()
        if self._channel is not None:
            await self._channel.close()

    async def get_app(self, app_id: int) -> AppInfo:
        """One app."""
        request = pb.GetAppRequest(context=self._context("apps.read"), app_id=app_id)
        return app_from_wire((await self._call("GetApp", request)).app)

    async def list_apps(self) -> list[AppInfo]:
        """All apps, by id."""

        def page(number: int, active: bool) -> Message:
            context = self._context("apps.read")
            return pb.ListAppsRequest(context=context, is_active=active, page=number, limit=_PAGE)

        return await self._all("ListApps", page, lambda answer: [app_from_wire(app) for app in answer.apps])

    async def get_llm(self, llm_id: int) -> LlmInfo:
        """One LLM."""
        request = pb.GetLLMRequest(context=self._context("llms.read"), llm_id=llm_id)
        return llm_from_wire((await self._call("GetLLM", request)).llm)

    async def list_llms(self) -> list[LlmInfo]:
        """All LLMs, by id."""

        def page(number: int, active: bool) -> Message:
            context = self._context("llms.read")
            return pb.ListLLMsRequest(context=context, is_active=active, page=number, limit=_PAGE)

        return await self._all("ListLLMs", page, lambda answer: [llm_from_wire(llm) for llm in answer.llms])

    async def get_model_price(self, model: str, vendor: str) -> ModelPriceInfo:
        """The price that the gateway charges now."""
        context = self._context("pricing.read")
        request = pb.GetModelPriceRequest(context=context, model_name=model, vendor=vendor)
        return price_from_wire((await self._call("GetModelPrice", request)).model_price)

    async def send_to_control(
        self, payload: bytes, correlation_id: str = "", metadata: Mapping[str, str] | None = None
    ) -> int:
        """Send to the studio plugins; returns when it is durable."""
        check_payload(payload, correlation_id, metadata or {})
        request = pb.QueueControlPayloadRequest(
            context=self._context("control.send"),
            payload=bytes(payload),
            correlation_id=correlation_id,
            metadata=metadata or {},
        )
        answer = await self._call("QueueControlPayload", request)
        if not answer.success:
            raise refusal_from_wire(answer.error_message)
        pending: int = answer.pending_count
        return pending

    async def send_to_control_json(
        self, value: Any, correlation_id: str = "", metadata: Mapping[str, str] | None = None
    ) -> int:
        """The same with a value that is sent as JSON."""
        return await self.send_to_control(payload_json(value), correlation_id, metadata)

    def _context(self, scope: str) -> pb.PluginContext:
        return pb.PluginContext(plugin_id=self._plugin_id, method_scope=scope)

    async def _all(
        self,
        method: str,
        page: Callable[[int, bool], Message],
        items: Callable[[Any], Sequence[_Item]],
    ) -> list[_Item]:
        found: dict[int, _Item] = {}
        for active in (True, False):
            number, seen = 1, 0
            while True:
                answer = await self._call(method, page(number, active))
                new = items(answer)
                found.update({_id_of(item): item for item in new})
                number, seen = number + 1, seen + len(new)
                if not new or seen >= answer.total_count:
                    break
        return [item for _, item in sorted(found.items())]

    async def _call(self, method: str, request: Message) -> Any:
        channel = await self._connected()
        call: Any = channel.unary_unary(
            f"/{_SERVICE.full_name}/{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=GetMessageClass(_SERVICE.methods_by_name[method].output_type).FromString,
        )
        try:
            return await call(request, timeout=_CALL_S)
        except aio.AioRpcError as error:
            raise service_error(error.code().name, error.details() or error.code().name) from error

    async def _connected(self) -> aio.Channel:
        if not self._broker_id:
            raise ServiceNotAvailableError("the host of this plugin offers it no services")
        try:
            async with asyncio.timeout(_OFFER_S):
                return await self._dial()
        except TimeoutError as error:
            raise ServiceUnreachableError(
                f"the host has not said where its services are, after {_OFFER_S:g} s"
            ) from error

    async def _dial(self) -> aio.Channel:
        target = await self._broker.target(self._broker_id)
        if self._channel is None or target != self._target:
            stale, self._target = self._channel, target
            self._channel = aio.insecure_channel(target, options=_CHANNEL)
            self._channel.get_state(try_to_connect=True)
            if stale is not None:
                await stale.close()
        return self._channel


def _id_of(item: Any) -> int:
    number: int = item.id
    return number
