"""Answers on their way to the client, on the wire, and what response hooks made of them."""

from __future__ import annotations

from weir_proto import plugin_pb2 as pb
from weir_sdk.context import CallInfo
from weir_sdk.headers import Headers
from weir_sdk.outcomes import response_outcome
from weir_sdk.response import Response
from weir_sdk.stream import StreamComplete
from weir_sdk.wire.context import MetadataChange, Peer, context_from_wire, context_to_wire
from weir_sdk.wire.requests import header_changes


def headers_to_wire(call: CallInfo, response: Response, peer: Peer) -> pb.HeadersRequest:
    """An answer before its first byte, for OnBeforeWriteHeaders."""
    wire = pb.HeadersRequest(headers=response.headers, context=context_to_wire(call, peer))
    if peer.ours:
        wire.status_code = response.status_code
        wire.body = response.body
    return wire


def write_to_wire(call: CallInfo, response: Response, peer: Peer) -> pb.ResponseWriteRequest:
    """A whole answer, or one event of a stream, for OnBeforeWrite."""
    return pb.ResponseWriteRequest(
        body=response.body,
        headers=response.headers,
        is_stream_chunk=response.is_stream_chunk,
        context=context_to_wire(call, peer),
        status_code=response.status_code if peer.ours else 0,
    )


def stream_to_wire(call: CallInfo, stream: StreamComplete, peer: Peer) -> pb.StreamCompleteRequest:
    """A stream as a whole, for OnStreamComplete."""
    return pb.StreamCompleteRequest(
        accumulated_response=stream.body,
        headers=stream.headers,
        status_code=stream.status_code,
        context=context_to_wire(call, peer),
        chunk_count=stream.chunk_count,
        request_body=stream.request_body,
    )


def headers_from_wire(wire: pb.HeadersRequest) -> tuple[CallInfo, Response]:
    """What on_before_write_headers gets."""
    call = context_from_wire(wire.context)
    response = Response(
        status_code=wire.status_code or 200,
        headers=Headers(wire.headers),
        body=wire.body,
        request_id=call.request_id,
    )
    return call, response


def write_from_wire(wire: pb.ResponseWriteRequest) -> tuple[CallInfo, Response]:
    """What on_before_write gets."""
    call = context_from_wire(wire.context)
    response = Response(
        status_code=wire.status_code or 200,
        headers=Headers(wire.headers),
        body=wire.body,
        is_stream_chunk=wire.is_stream_chunk,
        request_id=call.request_id,
    )
    return call, response


def stream_from_wire(wire: pb.StreamCompleteRequest) -> tuple[CallInfo, StreamComplete]:
    """What on_stream_complete gets."""
    stream = StreamComplete(
        body=wire.accumulated_response,
        headers=Headers(wire.headers),
        status_code=wire.status_code or 200,
        chunk_count=wire.chunk_count,
        request_body=wire.request_body,
    )
    return context_from_wire(wire.context), stream


def headers_outcome_to_wire(
    changed: Response | None, given: Response, change: MetadataChange
) -> pb.HeadersResponse:
    """What on_before_write_headers made of an answer; None is nothing."""
    wire = pb.HeadersResponse(context_updates=change.set, removed_metadata=change.removed)
    if changed is not None:
        wire.modified = True
        _put_head(wire, changed, given)
    return wire


def write_outcome_to_wire(
    changed: Response | None, given: Response, change: MetadataChange
) -> pb.ResponseWriteResponse:
    """What on_before_write made of an answer; None is nothing."""
    wire = pb.ResponseWriteResponse(context_updates=change.set, removed_metadata=change.removed)
    if changed is not None:
        wire.modified = True
        wire.body = changed.body
        _put_head(wire, changed, given)
    return wire


def headers_outcome_from_wire(wire: pb.HeadersResponse, given: Response) -> Response | None:
    """The changed answer; None where the plugin left it as it was.

    Raises:
        RubbishError: The answer cannot be used.
    """
    if not wire.modified:
        return None
    shown = given.copy()
    _take_head(wire, shown)
    return response_outcome(None, shown, given, with_body=False)


def write_outcome_from_wire(wire: pb.ResponseWriteResponse, given: Response) -> Response | None:
    """The changed answer; None where the plugin left it as it was.

    Raises:
        RubbishError: The answer cannot be used.
    """
    if not wire.modified:
        return None
    shown = given.copy()
    _take_head(wire, shown)
    shown.body = wire.body
    return response_outcome(None, shown, given, with_body=True)


def _put_head(
    wire: pb.HeadersResponse | pb.ResponseWriteResponse, changed: Response, given: Response
) -> None:
    # All of them, not only the new ones: some hosts take the map for the whole of the answer's headers.
    wire.headers.update(changed.headers)
    wire.removed_headers.extend(header_changes(changed.headers, given.headers)[1])
    if changed.status_code != given.status_code:
        wire.status_code = changed.status_code


def _take_head(wire: pb.HeadersResponse | pb.ResponseWriteResponse, shown: Response) -> None:
    for name in wire.removed_headers:
        shown.headers.pop(name, None)
    shown.headers.update(wire.headers)
    if wire.status_code:
        shown.status_code = wire.status_code
