"""``accept_edge_payload``, as PluginService calls it."""

from __future__ import annotations

from collections.abc import Mapping

from weir_proto import plugin_pb2 as pb
from weir_sdk.payloads import payload_outcome
from weir_sdk.serving.handlers import failed
from weir_sdk.serving.methods import FailedCallError, Unary
from weir_sdk.serving.plugin import ServedPlugin
from weir_sdk.wire.payloads import accepted_to_wire, payload_from_wire


class Payloads:
    """A plugin without the handler says so with UNIMPLEMENTED."""

    def __init__(self, served: ServedPlugin) -> None:
        self._served = served

    @property
    def methods(self) -> Mapping[str, Unary]:
        """By their names in PluginService."""
        return {"AcceptEdgePayload": self.accept}

    async def accept(self, wire: pb.EdgePayloadRequest) -> pb.EdgePayloadResponse:
        """Run ``accept_edge_payload``."""
        handler = self._served.handlers.get("accept_edge_payload")
        if handler is None:
            raise FailedCallError("UNIMPLEMENTED", "the plugin has no accept_edge_payload")
        call, payload = payload_from_wire(wire)
        try:
            answered = await handler(self._served.context(call), payload)
            return accepted_to_wire(payload_outcome(answered))
        except Exception as error:
            raise failed(error) from error
