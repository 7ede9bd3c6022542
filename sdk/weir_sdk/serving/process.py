"""The life of a plugin process, from its cookie to its end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Final

from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]  # there are no stubs
from grpc_health.v1.health import aio as health_aio  # type: ignore[import-untyped]  # there are no stubs

from weir_proto import config_provider_pb2, go_plugin_pb2, plugin_pb2, weir_plugin_pb2
from weir_sdk.plugin import BasePlugin
from weir_sdk.services import Runtime
from weir_sdk.serving.broker import Broker
from weir_sdk.serving.collectors import Collectors
from weir_sdk.serving.ending import LEAVE_S, Ending
from weir_sdk.serving.gateway import RemoteGateway
from weir_sdk.serving.handshake import (
    CannotServeError,
    SocketPlace,
    check_cookie,
    detect_runtime,
    handshake_line,
)
from weir_sdk.serving.hooks import Hooks
from weir_sdk.serving.lifecycle import Description, Lifecycle
from weir_sdk.serving.methods import Stream, Unary, service
from weir_sdk.serving.output import Output
from weir_sdk.serving.payloads import Payloads
from weir_sdk.serving.plugin import ServedPlugin
from weir_sdk.wire.failures import described

_SERVER: Final = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.so_reuseport", 0),
)
_CUT_S: Final = 0.2


def run(make_plugin: Callable[[], BasePlugin], runtime: Runtime | None) -> None:
    """Be a plugin until the host ends it; ``SystemExit(1)`` when that cannot even begin."""
    try:
        check_cookie(os.environ)
        # In a terminal Ctrl-C reaches the host too, and the host decides what it means.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        output = Output()
        plugin = _made(make_plugin)
        place = SocketPlace.make(os.environ)
    except CannotServeError as error:
        cause = error.__cause__
        trace = "" if cause is None else "".join(traceback.format_exception(cause))
        sys.stderr.write(f"{trace}{error}\n")
        raise SystemExit(1) from error
    try:
        asyncio.run(_serve(plugin, runtime or detect_runtime(os.environ), output, place))
    finally:
        place.remove()


def _made(make_plugin: Callable[[], BasePlugin]) -> BasePlugin:
    name = getattr(make_plugin, "__name__", "the plugin")
    try:
        plugin = make_plugin()
    except Exception as error:
        raise CannotServeError(f"{name}() failed: {described(error)}") from error
    if not isinstance(plugin, BasePlugin):
        raise CannotServeError(f"{name}() is a {type(plugin).__name__}; derive it from weir_sdk.BasePlugin")
    return plugin


async def _serve(plugin: BasePlugin, runtime: Runtime, output: Output, place: SocketPlace) -> None:
    ending = Ending(place.remove)
    broker = Broker()
    gateway = RemoteGateway(broker)
    served = ServedPlugin(plugin, runtime, gateway)
    lifecycle = Lifecycle(served)
    server = aio.server(options=_SERVER)
    await _add_services(server, served, lifecycle, broker, output, ending)
    server.add_insecure_port(f"unix:{place.path}")
    await server.start()
    try:
        if output.say(handshake_line(place.path)):
            await lifecycle.release(await ending.wanted())
    finally:
        # grpc.aio logs a traceback for each call that the end of the loop cuts off.
        output.end()
        await server.stop(_CUT_S)
        await gateway.close()


async def _add_services(
    server: aio.Server,
    served: ServedPlugin,
    lifecycle: Lifecycle,
    broker: Broker,
    output: Output,
    ending: Ending,
) -> None:
    description, collectors = Description(served), Collectors(served)

    async def shutdown(_: go_plugin_pb2.Empty) -> go_plugin_pb2.Empty:
        ending.want(LEAVE_S)
        return go_plugin_pb2.Empty()

    plugin_methods: dict[str, Unary | Stream] = {
        **lifecycle.methods,
        **description.methods,
        **Hooks(served).methods,
        **collectors.methods,
        **Payloads(served).methods,
    }
    extras: dict[str, Unary | Stream] = {"Describe": description.describe, "HandleBatch": collectors.batch}
    go_plugin = go_plugin_pb2.DESCRIPTOR.services_by_name
    server.add_generic_rpc_handlers(
        (
            service(plugin_pb2.DESCRIPTOR.services_by_name["PluginService"], plugin_methods),
            service(
                config_provider_pb2.DESCRIPTOR.services_by_name["ConfigProviderService"],
                description.provider_methods,
            ),
            service(weir_plugin_pb2.DESCRIPTOR.services_by_name["PluginExtras"], extras),
            service(go_plugin["GRPCBroker"], broker.methods),
            service(go_plugin["GRPCStdio"], {"StreamStdio": output.read}),
            service(go_plugin["GRPCController"], {"Shutdown": shutdown}),
        )
    )
    health = health_aio.HealthServicer()
    await health.set("plugin", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
