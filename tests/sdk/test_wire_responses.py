from __future__ import annotations

from typing import Any

import pytest

from weir_proto import plugin_pb2 as pb
from weir_sdk import Response, ResponseWriteResponse, StreamComplete
from weir_sdk.context import CallInfo
from weir_sdk.errors import RubbishError
from weir_sdk.outcomes import response_outcome
from weir_sdk.testing import make_response
from weir_sdk.wire import responses as wire
from weir_sdk.wire.context import MetadataChange, Peer

OURS = Peer(ours=True)
GO = Peer(ours=False)
CALL = CallInfo(request_id="r-1", llm_id=1)


def facts_of(response: Response | None) -> tuple[Any, ...] | None:
    if response is None:
        return None
    return (
        response.status_code,
        response.headers,
        response.body,
        response.is_stream_chunk,
        response.request_id,
    )


def given(**changes: Any) -> Response:
    return make_response(**{"status_code": 201, "json": {"a": 1}, "request_id": "r-1", **changes})


def sent(message: Any) -> Any:
    return type(message).FromString(message.SerializeToString())


@pytest.mark.parametrize("chunk", [False, True])
def test_our_own_plugins_read_an_answer_as_it_is(chunk: bool) -> None:
    response = given(is_stream_chunk=chunk)
    _, read = wire.write_from_wire(sent(wire.write_to_wire(CALL, response, OURS)))
    assert facts_of(read) == facts_of(response)


def test_headers_come_with_the_status_and_the_body_of_an_answer_for_our_own_plugins_only() -> None:
    _, ours = wire.headers_from_wire(sent(wire.headers_to_wire(CALL, given(), OURS)))
    assert (ours.status_code, ours.body) == (201, b'{"a":1}')
    assert wire.headers_to_wire(CALL, given(), GO).body == b""


def change_all(shown: Response) -> ResponseWriteResponse | None:
    shown.status_code = 418
    shown.headers["X-New"] = "1"
    del shown.headers["Content-Type"]
    shown.json()["b"] = 2
    return None


def swallow(shown: Response) -> ResponseWriteResponse | None:
    return ResponseWriteResponse(modified=True, body=b"")


def leave(shown: Response) -> ResponseWriteResponse | None:
    return None


@pytest.mark.parametrize("change", [change_all, swallow, leave])
@pytest.mark.parametrize("chunk", [False, True])
def test_changes_to_an_answer_travel_whole(change: Any, chunk: bool) -> None:
    response = given(is_stream_chunk=chunk)
    shown = response.copy()
    changed = response_outcome(change(shown), shown, response, with_body=True)
    answer = sent(wire.write_outcome_to_wire(changed, response, MetadataChange()))
    assert facts_of(wire.write_outcome_from_wire(answer, response)) == facts_of(changed)


@pytest.mark.parametrize("change", [change_all, leave])
def test_changes_to_headers_travel_whole(change: Any) -> None:
    response = given()
    shown = response.copy()
    changed = response_outcome(change(shown), shown, response, with_body=False)
    answer = sent(wire.headers_outcome_to_wire(changed, response, MetadataChange()))
    assert facts_of(wire.headers_outcome_from_wire(answer, response)) == facts_of(changed)


def test_a_modified_answer_carries_all_headers_for_hosts_that_take_them_for_the_whole() -> None:
    response = given(headers={"X-Old": "1"})
    shown = response.copy()
    shown.body = b"new"
    changed = response_outcome(None, shown, response, with_body=True)
    answer = wire.write_outcome_to_wire(changed, response, MetadataChange())
    assert dict(answer.headers) == {"Content-Type": "application/json", "X-Old": "1"}


def test_a_go_plugins_empty_header_map_leaves_headers_alone() -> None:
    answer = pb.HeadersResponse(modified=True)
    assert wire.headers_outcome_from_wire(answer, given()) is None


def test_a_go_plugins_empty_body_swallows_a_chunk() -> None:
    answer = pb.ResponseWriteResponse(modified=True)
    changed = wire.write_outcome_from_wire(answer, given(is_stream_chunk=True))
    assert changed is not None
    assert changed.body == b""


def test_rubbish_from_a_plugin_is_told_apart() -> None:
    with pytest.raises(RubbishError, match="line breaks"):
        wire.headers_outcome_from_wire(pb.HeadersResponse(modified=True, headers={"A": "b\nc"}), given())


def test_a_stream_travels_whole() -> None:
    stream = StreamComplete(
        body=b"data: [DONE]\n\n",
        headers={"content-type": "text/event-stream"},
        status_code=201,
        chunk_count=3,
        request_body=b"{}",
    )
    call, read = wire.stream_from_wire(sent(wire.stream_to_wire(CALL, stream, OURS)))
    assert call == CALL
    assert (read.body, read.headers, read.status_code, read.chunk_count, read.request_body) == (
        stream.body,
        {"Content-Type": "text/event-stream"},
        201,
        3,
        b"{}",
    )
