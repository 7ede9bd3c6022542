"""Sessions, documents and the host's services of a plugin in a process of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from grpc import aio
from tests.sdk.conftest import Serve, ServedProcess

from weir_proto import config_provider_pb2 as config_pb
from weir_proto import gateway_services_pb2 as services
from weir_proto import gateway_services_pb2_grpc as services_grpc
from weir_proto import go_plugin_pb2 as go
from weir_proto import plugin_pb2 as pb
from weir_sdk import AppInfo
from weir_sdk.wire.gateway import app_to_wire

EXPLICIT_CLOSE = pb.OpenSessionResponse.EXPLICIT_CLOSE
TIMEOUT = pb.OpenSessionResponse.TIMEOUT


async def test_a_session_lasts_until_its_time_is_over(serve: Serve) -> None:
    served = await serve("bare.py")
    answer = await served.plugin.OpenSession(
        pb.OpenSessionRequest(plugin_id=4, service_broker_id=1, timeout_ms=1)
    )
    assert (answer.success, answer.close_reason, answer.session_id) == (True, TIMEOUT, "session-4-1")


@pytest.mark.parametrize(
    ("reason", "closed"), [("unload", EXPLICIT_CLOSE), ("", EXPLICIT_CLOSE), ("timeout", TIMEOUT)]
)
async def test_a_session_ends_when_the_host_closes_it(serve: Serve, reason: str, closed: int) -> None:
    served = await serve("bare.py")
    session = asyncio.ensure_future(served.plugin.OpenSession(pb.OpenSessionRequest()))
    while not session.done():
        assert (await served.plugin.CloseSession(pb.CloseSessionRequest(reason=reason))).success
    assert session.result().close_reason == closed


async def test_shutdown_ends_sessions_and_the_process_lives_on(serve: Serve) -> None:
    served = await serve("bare.py")
    session = asyncio.ensure_future(served.plugin.OpenSession(pb.OpenSessionRequest()))
    while not session.done():
        assert (await served.plugin.Shutdown(pb.ShutdownRequest())).success
    assert session.result().close_reason == EXPLICIT_CLOSE
    assert (await served.plugin.Ping(pb.PingRequest())).healthy


async def test_its_documents_can_be_had_before_it_is_initialised(serve: Serve) -> None:
    served = await serve("everything.py")
    for schema in (
        await served.plugin.GetConfigSchema(pb.GetConfigSchemaRequest()),
        await served.config_provider.GetConfigSchema(config_pb.ConfigSchemaRequest()),
    ):
        assert (schema.success, schema.schema_json) == (True, '{"type":"object"}')
    for manifest in (
        await served.plugin.GetManifest(pb.GetManifestRequest()),
        await served.config_provider.GetManifest(config_pb.GetManifestRequest()),
    ):
        assert (manifest.success, manifest.manifest_json) == (True, '{"id": "everything"}')
    assert (await served.config_provider.Ping(config_pb.ConfigPingRequest())).healthy


async def test_without_documents_the_answers_are_those_of_go_plugins(serve: Serve) -> None:
    served = await serve("bare.py")
    schema = await served.plugin.GetConfigSchema(pb.GetConfigSchemaRequest())
    assert (schema.success, schema.schema_json) == (True, "{}")
    assert not (await served.plugin.GetManifest(pb.GetManifestRequest())).success
    manifest = await served.config_provider.GetManifest(config_pb.GetManifestRequest())
    assert (manifest.success, manifest.manifest_json) == (True, "{}")


class Management(services_grpc.MicrogatewayManagementServiceServicer):
    """The host's service, as far as the test needs it."""

    def __init__(self) -> None:
        self.asked: list[services.PluginContext] = []

    async def GetApp(self, request: services.GetAppRequest, context: Any) -> services.GetAppResponse:  # noqa: N802
        self.asked.append(request.context)
        return services.GetAppResponse(app=app_to_wire(AppInfo(id=request.app_id, name="from the host")))


Offer = Callable[[ServedProcess], Any]


class Host:
    """A management service on a socket, and the broker's offer of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.management = Management()
        self.server = aio.server()
        services_grpc.add_MicrogatewayManagementServiceServicer_to_server(self.management, self.server)
        self.server.add_insecure_port(f"unix:{path}")

    def offer(self, service_id: int = 1) -> go.ConnInfo:
        return go.ConnInfo(service_id=service_id, network="unix", address=str(self.path))


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    made = Host(tmp_path / "host.sock")
    await made.server.start()
    yield made
    await made.server.stop(None)


async def ask_for_app(served: ServedProcess) -> str:
    request = pb.PluginRequest(method="POST", path="/", headers={"X-Do": "app"})
    answer = await served.plugin.ProcessPostAuth(pb.EnrichedRequest(request=request))
    name: str = answer.headers["X-Said"]
    return name


@pytest.mark.parametrize("offered", ["before", "after"])
async def test_the_hosts_services_are_found_through_the_broker(
    serve: Serve, host: Host, offered: str
) -> None:
    served = await serve("everything.py")
    broker = served.broker.StartStream()
    if offered == "before":
        await broker.write(host.offer())
    await served.initialize(_plugin_id="4", _service_broker_id="1")
    if offered == "after":
        await broker.write(host.offer())
    assert await ask_for_app(served) == "from the host"
    asked = host.management.asked[0]
    assert (asked.plugin_id, asked.method_scope) == (4, "apps.read")


async def test_the_ids_may_come_with_the_first_session(serve: Serve, host: Host) -> None:
    served = await serve("everything.py")
    broker = served.broker.StartStream()
    await broker.write(host.offer(service_id=3))
    await served.initialize()
    await served.plugin.OpenSession(pb.OpenSessionRequest(service_broker_id=3, plugin_id=9, timeout_ms=1))
    assert await ask_for_app(served) == "from the host"
    assert host.management.asked[0].plugin_id == 9


async def test_an_offer_is_kept_for_ever_and_a_new_one_takes_its_place(
    serve: Serve, host: Host, tmp_path: Path
) -> None:
    served = await serve("everything.py")
    broker = served.broker.StartStream()
    await broker.write(host.offer())
    await broker.done_writing()
    await served.initialize(_service_broker_id="1")
    assert await ask_for_app(served) == "from the host"
    moved = Host(tmp_path / "moved.sock")
    await moved.server.start()
    await host.server.stop(None)
    second = served.broker.StartStream()
    await second.write(moved.offer())
    while not moved.management.asked:
        with suppress(aio.AioRpcError):  # of the service that has stopped
            await ask_for_app(served)
    await moved.server.stop(None)


async def test_a_service_that_restarts_is_found_again(serve: Serve, tmp_path: Path) -> None:
    served = await serve("everything.py")
    path = tmp_path / "host.sock"
    broker = served.broker.StartStream()
    first = Host(path)
    await first.server.start()
    await broker.write(first.offer())
    await served.initialize(_service_broker_id="1")
    assert await ask_for_app(served) == "from the host"
    await first.server.stop(None)
    with pytest.raises(aio.AioRpcError, match="ServiceUnreachableError"):
        await ask_for_app(served)
    again = Host(path)
    await again.server.start()
    while not again.management.asked:
        with suppress(aio.AioRpcError):  # until the connection is tried again
            await ask_for_app(served)
    await again.server.stop(None)


async def test_without_a_broker_id_there_are_no_services(serve: Serve) -> None:
    served = await serve("everything.py")
    await served.initialize()
    with pytest.raises(aio.AioRpcError, match="offers it no services"):
        await ask_for_app(served)


async def test_in_the_studio_there_is_no_gateway(serve: Serve) -> None:
    served = await serve("everything.py", PLUGIN_RUNTIME="studio")
    await served.initialize(_service_broker_id="1")
    with pytest.raises(aio.AioRpcError, match="runtime is 'gateway'"):
        await ask_for_app(served)
