"""Payloads over the service channel, and to studio plugins in processes of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from tests.host.programs import a_plugin

from weir_core.snapshot import Snapshot
from weir_host.calls import CallInfo
from weir_host.errors import PluginCallError
from weir_host.host import PluginHost
from weir_sdk import EdgePayload
from weir_sdk.testing import make_request

HostOf = Callable[..., PluginHost]
ProgramOf = Callable[..., str]

pytestmark = pytest.mark.usefixtures("own_temp_dir")

BOTH = """
from weir_sdk import BasePlugin, EdgePayloadResponse, PluginResponse, serve

class Both(BasePlugin):
    async def handle_post_auth(self, ctx, request):
        send = ctx.services.gateway.send_to_control
        try:
            if request.body == b"large":
                await send(b"x" * (2**20 + 1))
            pending = await send(request.body, "c-1", {"kind": "stats"})
        except Exception as error:
            return PluginResponse(block=True, error_message=type(error).__name__ + ": " + str(error))
        return PluginResponse(block=True, error_message=str(pending))

    def handle_pre_auth(self, ctx, request):
        ctx.services.wait(ctx.services.gateway.send_to_control_json({"from": "thread"}))

    async def accept_edge_payload(self, ctx, payload):
        if payload.payload == b"raise":
            raise RuntimeError("down")
        told = {"id": payload.id, "edge": payload.edge_id, "sender": str(payload.plugin_id)}
        return EdgePayloadResponse(handled=payload.payload != b"no", metadata=told | payload.metadata)

serve(Both)
"""


class Queue:
    def __init__(self) -> None:
        self.sent: list[tuple[int, bytes, str, dict[str, str]]] = []

    async def send(
        self, plugin_id: int, _: str, payload: bytes, correlation_id: str, metadata: Mapping[str, str], /
    ) -> int:
        self.sent.append((plugin_id, payload, correlation_id, dict(metadata)))
        return 41 + len(self.sent)


async def test_a_program_sends_over_its_service_channel(
    child_host: HostOf, program: ProgramOf, call: CallInfo
) -> None:
    queue = Queue()
    host = child_host(payloads=queue)
    plugin = a_plugin(program(BOTH), hook_types=("pre_auth", "post_auth"), service_scopes=("control.send",))
    await host.apply(Snapshot(1, [plugin]), ready_within=60)
    hosted = host.get(plugin.id)
    assert hosted is not None

    async def said(body: bytes) -> str:
        outcome = await hosted.post_auth(call, make_request(body=body))
        assert outcome.block is not None
        return str(outcome.block)

    assert "42" in await said(b"hello")
    assert "PayloadTooLarge: " in await said(b"large")
    await hosted.pre_auth(call, make_request())
    assert queue.sent == [
        (plugin.id, b"hello", "c-1", {"kind": "stats"}),
        (plugin.id, b'{"from":"thread"}', "", {}),
    ]


async def test_a_program_without_the_scope_sends_nothing(
    child_host: HostOf, program: ProgramOf, call: CallInfo
) -> None:
    queue = Queue()
    host = child_host(payloads=queue)
    plugin = a_plugin(program(BOTH), hook_types=("post_auth",))
    await host.apply(Snapshot(1, [plugin]), ready_within=60)
    hosted = host.get(plugin.id)
    assert hosted is not None
    outcome = await hosted.post_auth(call, make_request(body=b"hello"))
    assert "MissingScopeError" in str(outcome.block)
    assert queue.sent == []


async def test_a_program_accepts_payloads_in_the_studio(child_host: HostOf, program: ProgramOf) -> None:
    host = child_host(runtime="studio", hook_types=frozenset({"studio"}))
    plugin = a_plugin(program(BOTH), hook_types=("studio",), runtime="studio")
    await host.apply(Snapshot(1, [plugin]), ready_within=60)
    hosted = host.get(plugin.id)
    assert hosted is not None
    payload = EdgePayload(
        id="p-1", payload=b"\xff", edge_id="edge-9", plugin_id=4, metadata={"kind": "stats"}
    )
    answer = await hosted.edge_payload(payload)
    told = {"id": "p-1", "edge": "edge-9", "sender": "4", "kind": "stats"}
    assert (answer.handled, answer.error_message, answer.metadata) == (True, "", told)
    assert not (await hosted.edge_payload(EdgePayload(id="p-2", payload=b"no"))).handled
    with pytest.raises(PluginCallError, match="down"):
        await hosted.edge_payload(EdgePayload(id="p-3", payload=b"raise"))
