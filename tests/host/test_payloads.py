"""Payloads for control, from handlers of every kind, and to the studio plugins that accept them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest
from tests.host.programs import a_plugin

from weir_core.errors import WeirError
from weir_core.objects import Plugin
from weir_core.snapshot import Snapshot
from weir_host.calls import CallInfo
from weir_host.errors import PluginCallError, PluginProtocolError
from weir_host.host import PluginHost
from weir_host.in_process import InProcessPlugin
from weir_host.services import SnapshotGateway
from weir_sdk import (
    BasePlugin,
    Context,
    EdgePayload,
    EdgePayloadResponse,
    MetadataTooLarge,
    MissingScopeError,
    PayloadTooLarge,
    PermanentError,
    PluginResponse,
    QueueFull,
    Request,
    ServiceError,
    inline,
)
from weir_sdk.testing import make_request

HostOf = Callable[..., PluginHost]
CommandOf = Callable[[type], str]
Start = Callable[..., Awaitable[InProcessPlugin]]


class Queue:
    """Keeps what is sent; refuses with ``refusal`` when a test sets it."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, str, bytes, str, dict[str, str]]] = []
        self.refusal: WeirError | None = None

    async def send(
        self, plugin_id: int, slug: str, payload: bytes, correlation_id: str, metadata: Mapping[str, str], /
    ) -> int:
        if self.refusal is not None:
            raise self.refusal
        self.sent.append((plugin_id, slug, payload, correlation_id, dict(metadata)))
        return len(self.sent)


class FullError(WeirError):
    retryable = True


@pytest.fixture
def queue() -> Queue:
    return Queue()


def gateway(queue: Queue | None, *scopes: str) -> SnapshotGateway:
    plugin = Plugin(id=7, name="cache", slug="cache", command="python://a:B", service_scopes=scopes)

    async def prices(_: Snapshot) -> Any:
        raise AssertionError

    return SnapshotGateway(plugin, lambda: Snapshot(1), prices, queue)


async def test_a_payload_needs_the_scope(queue: Queue) -> None:
    with pytest.raises(MissingScopeError, match=r"control\.send"):
        await gateway(queue, "apps.read").send_to_control(b"x")


async def test_a_json_payload_is_sent_as_json(queue: Queue) -> None:
    pending = await gateway(queue, "control.send").send_to_control_json({"hits": 1}, "c-1", {"kind": "stats"})
    assert (pending, queue.sent) == (1, [(7, "cache", b'{"hits":1}', "c-1", {"kind": "stats"})])


@pytest.mark.parametrize(
    ("payload", "correlation_id", "metadata", "error"),
    [
        (b"x" * (2**20 + 1), "", {}, PayloadTooLarge),
        (b"", "\u00e4" * 129, {}, MetadataTooLarge),
        (b"", "", {str(number): "" for number in range(51)}, MetadataTooLarge),
        (b"", "", {"k" * 257: ""}, MetadataTooLarge),
        (b"", "", {"k": "v" * 4097}, MetadataTooLarge),
        ("text", "", {}, ServiceError),
        (b"", "", {"k": 1}, ServiceError),
    ],
)
async def test_what_is_over_a_limit_is_refused_and_not_sent(
    queue: Queue, payload: Any, correlation_id: str, metadata: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await gateway(queue, "control.send").send_to_control(payload, correlation_id, metadata)
    assert queue.sent == []


async def test_everything_at_its_limit_is_sent(queue: Queue) -> None:
    metadata = {f"{number:02d}".ljust(256, "k"): "v" * 4096 for number in range(50)}
    await gateway(queue, "control.send").send_to_control(b"x" * 2**20, "c" * 256, metadata)
    assert len(queue.sent) == 1


@pytest.mark.parametrize(
    ("refusal", "error"), [(FullError("full"), QueueFull), (WeirError("too large"), MetadataTooLarge)]
)
async def test_a_refusal_of_the_spool_reaches_the_plugin_by_its_kind(
    queue: Queue, refusal: WeirError, error: type[Exception]
) -> None:
    queue.refusal = refusal
    with pytest.raises(error, match=str(refusal)):
        await gateway(queue, "control.send").send_to_control(b"x")


class Sender(BasePlugin):
    """Sends from a coroutine, from a thread, and from a plain handler in the loop."""

    async def handle_pre_auth(self, ctx: Context, request: Request) -> None:
        await ctx.services.gateway.send_to_control(b"async")

    def handle_post_auth(self, ctx: Context, request: Request) -> PluginResponse:
        pending = ctx.services.wait(ctx.services.gateway.send_to_control(b"thread"))
        return PluginResponse(block=True, error_message=str(pending))

    @inline
    def handle_auth(self, ctx: Context, request: Request) -> None:
        ctx.services.wait(ctx.services.gateway.send_to_control(b"inline"))


async def test_handlers_of_every_kind_send(
    host_of: HostOf, command_of: CommandOf, queue: Queue, call: CallInfo
) -> None:
    host = host_of(payloads=queue)
    sender = a_plugin(
        command_of(Sender), hook_types=("pre_auth", "auth", "post_auth"), service_scopes=("control.send",)
    )
    await host.apply(Snapshot(1, [sender]), ready_within=30)
    plugin = host.get(sender.id)
    assert plugin is not None
    await plugin.pre_auth(call, make_request())
    outcome = await plugin.post_auth(call, make_request())
    assert [payload for _, _, payload, _, _ in queue.sent] == [b"async", b"thread"]
    assert outcome.block is not None
    with pytest.raises(PluginCallError, match="await the call"):
        await plugin.auth(call, make_request())


class Receiver(BasePlugin):
    """Answers as the payload says."""

    def accept_edge_payload(self, ctx: Context, payload: EdgePayload) -> Any:
        answers: dict[bytes, Any] = {
            b"none": None,
            b"no": False,
            b"failed": EdgePayloadResponse(error_message="no such cache"),
            b"rubbish": "yes",
        }
        if payload.payload == b"permanent":
            raise PermanentError("never")
        return answers[payload.payload]


@pytest.mark.parametrize(
    ("payload", "handled", "error"),
    [(b"none", True, ""), (b"no", False, ""), (b"failed", True, "no such cache")],
)
async def test_what_a_receiver_returns_is_its_verdict(
    start: Start, payload: bytes, handled: bool, error: str
) -> None:
    plugin = await start(Receiver)
    answer = await plugin.edge_payload(EdgePayload(id="p-1", payload=payload))
    assert (answer.handled, answer.error_message) == (handled, error)


async def test_a_receiver_that_raises_or_answers_rubbish_fails_the_call(start: Start) -> None:
    plugin = await start(Receiver)
    with pytest.raises(PluginProtocolError, match="EdgePayloadResponse or a bool"):
        await plugin.edge_payload(EdgePayload(id="p-1", payload=b"rubbish"))
    with pytest.raises(PluginCallError) as caught:
        await plugin.edge_payload(EdgePayload(id="p-1", payload=b"permanent"))
    assert not caught.value.retryable


async def test_the_studio_hosts_its_own_plugins_and_gateways_that_have_the_hook(
    host_of: HostOf, command_of: CommandOf
) -> None:
    class Both(Receiver):
        def handle_pre_auth(self, ctx: Context, request: Request) -> None: ...

    plugins = [
        a_plugin(command_of(Receiver), id=1, slug="one", hook_types=("studio",), runtime="studio"),
        a_plugin(command_of(Both), id=2, slug="two", hook_types=("pre_auth", "studio")),
        a_plugin(command_of(Both), id=3, slug="three", hook_types=("pre_auth",)),
    ]
    studio = host_of(runtime="studio", hook_types=frozenset({"studio"}))
    edge = host_of()
    for host in (studio, edge):
        await host.apply(Snapshot(1, plugins), ready_within=30)
    assert [studio.get(number) is not None for number in (1, 2, 3)] == [True, True, False]
    assert [edge.get(number) is not None for number in (1, 2, 3)] == [False, True, True]
