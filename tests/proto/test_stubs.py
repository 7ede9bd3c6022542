from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
from google.protobuf.empty_pb2 import Empty

from weir_proto import go_plugin_pb2, go_plugin_pb2_grpc, plugin_pb2, plugin_pb2_grpc


class Stdio(go_plugin_pb2_grpc.GRPCStdioServicer):
    async def StreamStdio(self, request: Empty, context: object) -> AsyncIterator[go_plugin_pb2.StdioData]:  # noqa: N802
        yield go_plugin_pb2.StdioData(channel=go_plugin_pb2.StdioData.STDERR, data=b"ready")


class Plugin(plugin_pb2_grpc.PluginServiceServicer):
    async def Authenticate(  # noqa: N802
        self, request: plugin_pb2.AuthRequest, context: object
    ) -> plugin_pb2.AuthResponse:
        return plugin_pb2.AuthResponse(error_message=f"not {request.credential}", status_code=402)


async def test_services_that_share_the_package_plugin_answer_on_one_server(tmp_path: Path) -> None:
    server = grpc.aio.server()
    go_plugin_pb2_grpc.add_GRPCStdioServicer_to_server(Stdio(), server)
    plugin_pb2_grpc.add_PluginServiceServicer_to_server(Plugin(), server)
    address = f"unix:{tmp_path}/s"
    server.add_insecure_port(address)
    await server.start()
    async with grpc.aio.insecure_channel(address) as channel:
        written = [
            piece.data async for piece in go_plugin_pb2_grpc.GRPCStdioStub(channel).StreamStdio(Empty())
        ]
        refused = await plugin_pb2_grpc.PluginServiceStub(channel).Authenticate(
            plugin_pb2.AuthRequest(credential="wk_1")
        )
    await server.stop(None)

    assert written == [b"ready"]
    assert (refused.authenticated, refused.error_message, refused.status_code) == (False, "not wk_1", 402)
