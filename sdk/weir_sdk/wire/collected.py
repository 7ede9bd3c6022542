"""What collectors answered on the wire, and events in batches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import MappingProxyType
from typing import Final

import msgspec

from weir_proto import plugin_pb2 as pb
from weir_proto import weir_plugin_pb2 as extras
from weir_sdk.answers import DataCollectionResponse
from weir_sdk.errors import RubbishError
from weir_sdk.events import Analytics, BudgetUsage, Event, ProxyLog
from weir_sdk.outcomes import collector_outcome

_KINDS: Final = MappingProxyType(
    {
        ProxyLog: extras.Event.PROXY_LOG,
        Analytics: extras.Event.ANALYTICS,
        BudgetUsage: extras.Event.BUDGET_USAGE,
    }
)
_TYPES: Final = MappingProxyType({kind: event_type for event_type, kind in _KINDS.items()})


def batch_to_wire(events: Iterable[Event]) -> extras.BatchRequest:
    """Events for HandleBatch."""
    return extras.BatchRequest(
        events=[extras.Event(kind=_KINDS[type(event)], json=event.to_json()) for event in events]
    )


def batch_from_wire(wire: extras.BatchRequest) -> list[Event]:
    """What handle_batch gets; in their order.

    Raises:
        msgspec.MsgspecError: The host sent an event that is none.
        KeyError: The host sent an event of a kind that did not exist when this was written.
    """
    return [msgspec.json.decode(event.json, type=_TYPES[event.kind]) for event in wire.events]


def collected_to_wire(response: DataCollectionResponse) -> pb.DataCollectionResponse:
    """What a collector made of one event."""
    return pb.DataCollectionResponse(
        success=response.success,
        handled=response.handled,
        error_message=response.error_message,
        permanent=not response.retryable,
    )


def collected_from_wire(wire: pb.DataCollectionResponse) -> DataCollectionResponse:
    """What a plugin made of one event."""
    return collector_outcome(
        DataCollectionResponse(
            success=wire.success,
            handled=wire.handled,
            error_message=wire.error_message,
            retryable=not wire.permanent,
        )
    )


def batch_collected_to_wire(responses: Iterable[DataCollectionResponse]) -> extras.BatchResponse:
    """What a batch collector made of its events."""
    return extras.BatchResponse(responses=[collected_to_wire(response) for response in responses])


def batch_collected_from_wire(wire: extras.BatchResponse, count: int) -> list[DataCollectionResponse]:
    """What a plugin made of its events.

    Raises:
        RubbishError: It did not answer to each of ``count`` events.
    """
    responses: Sequence[pb.DataCollectionResponse] = wire.responses
    if len(responses) != count:
        raise RubbishError(f"returned {len(responses)} responses to {count} events")
    return [collected_from_wire(response) for response in responses]
