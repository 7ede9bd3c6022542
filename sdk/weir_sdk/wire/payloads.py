"""Edge payloads on the wire, to the host and from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from weir_proto import gateway_services_pb2 as services_pb
from weir_proto import plugin_pb2 as pb
from weir_sdk.context import CallInfo
from weir_sdk.errors import MetadataTooLarge, PayloadTooLarge, QueueFull, ServiceError
from weir_sdk.payloads import EdgePayload, EdgePayloadResponse
from weir_sdk.wire.context import Peer, context_from_wire, context_to_wire

PAYLOAD_ID: Final = "payload_id"
_SENDER: Final = "payload_plugin_id"
_REFUSALS: Final = (PayloadTooLarge, MetadataTooLarge, QueueFull)


def refusal_to_wire(error: ServiceError) -> services_pb.QueueControlPayloadResponse:
    """A payload that was not sent: to a Go plugin a message, to ours the error's name before it."""
    return services_pb.QueueControlPayloadResponse(
        success=False, error_message=f"{type(error).__name__}: {error}"
    )


def refusal_from_wire(message: str) -> ServiceError:
    """Why a payload was not sent."""
    name, _, why = message.partition(": ")
    kind = next((kind for kind in _REFUSALS if kind.__name__ == name), None)
    return ServiceError(message) if kind is None else kind(why)


def payload_to_wire(payload: EdgePayload, peer: Peer) -> pb.EdgePayloadRequest:
    """A payload for AcceptEdgePayload; its id and sender stand in the context's metadata."""
    call = CallInfo(metadata={PAYLOAD_ID: payload.id, _SENDER: str(payload.plugin_id)})
    return pb.EdgePayloadRequest(
        payload=payload.payload,
        edge_id=payload.edge_id,
        edge_namespace=payload.edge_namespace,
        correlation_id=payload.correlation_id,
        metadata=payload.metadata,
        edge_timestamp=int(payload.edge_timestamp),
        received_timestamp=int(payload.received_timestamp),
        context=context_to_wire(call, peer),
    )


def payload_from_wire(wire: pb.EdgePayloadRequest) -> tuple[CallInfo, EdgePayload]:
    """What accept_edge_payload gets. From a host that gives payloads no id, it has none."""
    call = context_from_wire(wire.context)
    return call, EdgePayload(
        id=call.metadata.get(PAYLOAD_ID, ""),
        payload=wire.payload,
        edge_id=wire.edge_id,
        edge_namespace=wire.edge_namespace,
        plugin_id=_number(call.metadata),
        correlation_id=wire.correlation_id,
        metadata=dict(wire.metadata),
        edge_timestamp=float(wire.edge_timestamp),
        received_timestamp=float(wire.received_timestamp),
    )


def accepted_to_wire(response: EdgePayloadResponse) -> pb.EdgePayloadResponse:
    """What a plugin made of a payload."""
    return pb.EdgePayloadResponse(
        success=not response.error_message,
        handled=response.handled,
        error_message=response.error_message,
        metadata=response.metadata,
    )


def accepted_from_wire(wire: pb.EdgePayloadResponse) -> EdgePayloadResponse:
    """What a plugin made of a payload."""
    failed = "" if wire.success else "the plugin said that it failed"
    return EdgePayloadResponse(
        handled=wire.handled, error_message=wire.error_message or failed, metadata=dict(wire.metadata)
    )


def _number(metadata: Mapping[str, str]) -> int:
    text = metadata.get(_SENDER, "")
    return int(text) if text.isascii() and text.isdecimal() else 0
