"""Parts of a plugin process that need no process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import aio

from weir_proto import gateway_services_pb2 as services
from weir_proto import gateway_services_pb2_grpc as services_grpc
from weir_proto.go_plugin_pb2 import ConnInfo
from weir_sdk import AppInfo, LlmInfo, MissingScopeError, ModelPriceInfo, NotFoundError
from weir_sdk.errors import ServiceError
from weir_sdk.serving.broker import Broker
from weir_sdk.serving.gateway import RemoteGateway
from weir_sdk.serving.handshake import detect_runtime
from weir_sdk.serving.logging import HclogLogger
from weir_sdk.testing import FakeGateway
from weir_sdk.wire.gateway import app_to_wire, llm_to_wire, price_to_wire, service_status

APPS = [AppInfo(id=number, name=f"app {number}", is_active=number % 3 != 0) for number in range(1, 251)]
LLMS = [
    LlmInfo(id=2, name="b", slug="b", vendor="openai"),
    LlmInfo(id=1, name="a", slug="a", vendor="openai"),
]
PRICE = ModelPriceInfo(vendor="openai", model="gpt-4o", input="2.5", output="10")


@pytest.mark.parametrize(
    ("environ", "runtime"),
    [
        ({"PLUGIN_RUNTIME": "gateway"}, "gateway"),
        ({"PLUGIN_RUNTIME": "studio", "GATEWAY_MODE": "edge"}, "studio"),
        ({"PLUGIN_RUNTIME": "else", "GATEWAY_MODE": "edge"}, "gateway"),
        ({"GATEWAY_MODE": "standalone_gateway"}, "gateway"),
        ({"MICROGATEWAY_MODE": "standalone"}, "gateway"),
        ({"GATEWAY_MODE": "standalone"}, "studio"),
        ({}, "studio"),
    ],
)
def test_where_it_runs_follows_the_rules_of_gos_sdk(environ: dict[str, str], runtime: str) -> None:
    assert detect_runtime(environ) == runtime


def logged(message: str, **values: Any) -> dict[str, Any]:
    lines: list[bytes] = []
    logger = HclogLogger(
        "tidy", write=lines.append, clock=lambda: datetime(2026, 1, 31, 12, 0, 0, 5, tzinfo=UTC)
    )
    logger.info(message, **values)
    (line,) = lines
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    found: dict[str, Any] = json.loads(line)
    return found


def test_a_line_holds_its_values_beside_what_hosts_look_for() -> None:
    assert logged("two\nlines", count=1, event="x") == {
        "@level": "info",
        "@message": "two\nlines",
        "@module": "tidy",
        "@timestamp": "2026-01-31T12:00:00.000005Z",
        "count": 1,
        "event": "x",
    }


@pytest.mark.parametrize("value", [{1, 2}, object(), ValueError("x"), "\ud800", float("nan"), {(1, 2): 3}])
def test_anything_can_be_logged(value: Any) -> None:
    assert logged("odd", value=value)["@message"].strip("'") == "odd"


class Management(services_grpc.MicrogatewayManagementServiceServicer):
    """Answers out of a fake gateway, as a Go host does: a page at a time, active ones unless asked."""

    def __init__(self, gateway: FakeGateway) -> None:
        self._gateway = gateway

    async def GetApp(self, request: services.GetAppRequest, context: Any) -> Any:  # noqa: N802
        try:
            return services.GetAppResponse(app=app_to_wire(await self._gateway.get_app(request.app_id)))
        except ServiceError as error:
            await context.abort(_code(error), str(error))

    async def ListApps(self, request: services.ListAppsRequest, context: Any) -> Any:  # noqa: N802
        apps = [app for app in await self._gateway.list_apps() if app.is_active == request.is_active]
        page = apps[(request.page - 1) * request.limit : request.page * request.limit]
        return services.ListAppsResponse(apps=map(app_to_wire, page), total_count=len(apps))

    async def GetLLM(self, request: services.GetLLMRequest, context: Any) -> Any:  # noqa: N802
        return services.GetLLMResponse(llm=llm_to_wire(await self._gateway.get_llm(request.llm_id)))

    async def ListLLMs(self, request: services.ListLLMsRequest, context: Any) -> Any:  # noqa: N802
        llms = [llm for llm in await self._gateway.list_llms() if llm.is_active == request.is_active]
        return services.ListLLMsResponse(llms=map(llm_to_wire, llms), total_count=len(llms))

    async def GetModelPrice(self, request: services.GetModelPriceRequest, context: Any) -> Any:  # noqa: N802
        price = await self._gateway.get_model_price(request.model_name, request.vendor)
        return services.GetModelPriceResponse(model_price=price_to_wire(price))


def _code(error: ServiceError) -> Any:

    return grpc.StatusCode[service_status(error)]


Connect = Any


@pytest.fixture
async def connect(tmp_path: Path) -> AsyncIterator[Connect]:
    """Gives a plugin's view of a fake gateway over a real channel."""
    opened: list[Any] = []

    async def over_the_wire(gateway: FakeGateway) -> RemoteGateway:
        server = aio.server()
        services_grpc.add_MicrogatewayManagementServiceServicer_to_server(Management(gateway), server)
        path = tmp_path / "host.sock"
        server.add_insecure_port(f"unix:{path}")
        await server.start()
        broker = Broker()
        broker.take(ConnInfo(service_id=1, network="unix", address=str(path)))
        remote = RemoteGateway(broker)
        remote.introduce(4, 1)
        opened.extend((remote.close, lambda: server.stop(None)))
        return remote

    yield over_the_wire
    for close in opened:
        await close()


async def test_reads_over_the_wire_give_what_they_give_in_the_gateways_process(connect: Connect) -> None:
    gateway = FakeGateway(apps=APPS, llms=LLMS, prices=[PRICE])
    remote = await connect(gateway)
    assert await remote.list_apps() == await gateway.list_apps()
    assert await remote.get_app(3) == await gateway.get_app(3)
    assert await remote.list_llms() == await gateway.list_llms()
    assert await remote.get_llm(1) == await gateway.get_llm(1)
    assert await remote.get_model_price("gpt-4o", "openai") == PRICE


async def test_errors_of_reads_are_those_of_the_gateways_process(connect: Connect) -> None:
    remote = await connect(FakeGateway())
    with pytest.raises(NotFoundError, match="nothing under 9"):
        await remote.get_app(9)


async def test_a_scope_that_is_missing_is_named(connect: Connect) -> None:
    remote = await connect(FakeGateway(scopes=()))
    with pytest.raises(MissingScopeError, match=r"apps\.read"):
        await remote.get_app(9)


async def test_who_waits_for_an_offer_may_leave_and_others_still_get_it() -> None:
    broker = Broker()
    left = asyncio.ensure_future(broker.target(1))
    stays = asyncio.ensure_future(broker.target(1))
    await asyncio.sleep(0)
    left.cancel()
    await asyncio.wait((left,))
    broker.take(ConnInfo(service_id=1, network="tcp", address="127.0.0.1:5"))
    assert await stays == "127.0.0.1:5"
    broker.take(ConnInfo(service_id=1, network="unix", address="/s"))
    assert await broker.target(1) == "unix:/s"
