"""The generated stubs, which have no types, in one place."""

from __future__ import annotations

from typing import Any

from grpc import aio

from weir_proto import go_plugin_pb2_grpc, plugin_pb2_grpc, weir_plugin_pb2_grpc

_go_plugin: Any = go_plugin_pb2_grpc
_plugin: Any = plugin_pb2_grpc
_extras: Any = weir_plugin_pb2_grpc


def plugin_service(channel: aio.Channel) -> Any:
    """``PluginService``: what a gateway asks of a plugin."""
    return _plugin.PluginServiceStub(channel)


def plugin_extras(channel: aio.Channel) -> Any:
    """``PluginExtras``: what it asks of those made with our SDK besides."""
    return _extras.PluginExtrasStub(channel)


def broker(channel: aio.Channel) -> Any:
    """go-plugin's ``GRPCBroker``."""
    return _go_plugin.GRPCBrokerStub(channel)


def controller(channel: aio.Channel) -> Any:
    """go-plugin's ``GRPCController``."""
    return _go_plugin.GRPCControllerStub(channel)


def stdio(channel: aio.Channel) -> Any:
    """go-plugin's ``GRPCStdio``."""
    return _go_plugin.GRPCStdioStub(channel)
