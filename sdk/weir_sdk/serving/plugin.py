"""The plugin of a process, and what it has learned of its host."""

from __future__ import annotations

from dataclasses import replace

from weir_sdk.context import CallInfo, Context, Surroundings
from weir_sdk.plugin import BasePlugin
from weir_sdk.services import Runtime, Services
from weir_sdk.serving.gateway import RemoteGateway
from weir_sdk.serving.handlers import Handlers
from weir_sdk.serving.logging import HclogLogger
from weir_sdk.wire.config import Beginning


class ServedPlugin:
    """The plugin, its handlers, and the contexts that they get.

    Attributes:
        plugin: The plugin itself.
        handlers: Its handlers.
        gateway: The way to the host's services.
        host_is_ours: Whether the host reads our own fields; known from ``begin`` on.
    """

    def __init__(self, plugin: BasePlugin, runtime: Runtime, gateway: RemoteGateway) -> None:
        self.plugin = plugin
        self.handlers = Handlers(plugin)
        self.gateway = gateway
        self.host_is_ours = False
        services = Services(
            HclogLogger(plugin.name or type(plugin).__name__), gateway if runtime == "gateway" else None
        )
        self._surroundings = Surroundings(runtime=runtime, services=services)

    def begin(self, beginning: Beginning, *, host_is_ours: bool) -> None:
        """Note what the host says of itself when it initialises the plugin."""
        self.host_is_ours = host_is_ours
        self._surroundings = replace(
            self._surroundings, edge_id=beginning.edge_id, edge_namespace=beginning.edge_namespace
        )
        self.gateway.introduce(beginning.plugin_id, beginning.broker_id)

    def context(self, call: CallInfo) -> Context:
        """The context of one call of a handler."""
        if self.host_is_ours:
            return Context(call, self._surroundings)
        told = call.metadata
        edge_id, namespace = told.get("edge_id", ""), told.get("edge_namespace", "")
        return Context(call, replace(self._surroundings, edge_id=edge_id, edge_namespace=namespace))

    def warn(self, message: str, **values: object) -> None:
        """Log what somebody should look at."""
        self._surroundings.services.logger.warning(message, **values)
