"""What the hooks of a plugin are shown in a conformance run: the usual, and what is rare and allowed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgspec

from weir_host.calls import CallInfo
from weir_sdk import EdgePayload, Event, Request, Response, StreamComplete
from weir_sdk.testing import (
    make_analytics,
    make_budget_usage,
    make_proxy_log,
    make_request,
    make_response,
    make_stream_complete,
)

_SCRIPTS: Final = "naïve 漢字 עברית 👩‍👩‍👧‍👦 \u0000 \u202e \ufeff"
_ASKED: Final = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello!"}]}
_SAID: Final = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "model": "gpt-4o",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 12, "completion_tokens": 30, "total_tokens": 42},
}
_UNKNOWN: Final = ("app_id", "user_id", "llm_id", "llm_slug", "vendor", "model_name")
_FIVE_MIB: Final = 5 * 1024 * 1024
_ODD_BODIES: Final[tuple[tuple[str, bytes], ...]] = (
    ("an empty body", b""),
    ("a body that is not JSON", b"\x89PNG\r\n\x1a\n \xff\xfe"),
    ("a JSON body of another shape", b'[null, {"messages": null, "choices": null}]'),
    ("a JSON body of nulls", b'{"model": null, "messages": null, "choices": [null], "user": 7}'),
)


class Shown(NamedTuple):
    """One input, and what it is called where something goes wrong with it."""

    name: str
    value: Any


def a_call(*, known: bool = True) -> CallInfo:
    """The facts of a call, or of one of which nothing is known."""
    if not known:
        return CallInfo(request_id="0197a1b2-0000-7000-8000-000000000000")
    return CallInfo(
        request_id="0197a1b2-0000-7000-8000-000000000000",
        llm_id=1,
        llm_slug="my-llm",
        vendor="openai",
        app_id=1,
        user_id="ada",
        metadata={"noted": "before"},
    )


def requests() -> Iterator[Shown]:
    """For pre_auth, auth and post_auth."""
    yield Shown("a chat completion", make_request(json=_ASKED, app_id=1, authenticated=True))
    yield Shown("text of many scripts", make_request(json=_chat(_SCRIPTS), query_string="q=%E6%BC%A2"))
    for name, body in _ODD_BODIES:
        yield Shown(name, make_request(body=body, headers={"Content-Type": "application/octet-stream"}))
    yield Shown("a body of 5 MiB", make_request(json=_chat("a" * _FIVE_MIB)))
    yield Shown("a request without headers", Request(method="GET", path="/llm/call/my-llm/v1/models"))


def responses() -> Iterator[Shown]:
    """For the headers and the whole of an answer."""
    yield Shown("a chat completion", make_response(json=_SAID))
    yield Shown("an error of the upstream", make_response(status_code=502, body=b"upstream is away"))
    yield Shown("text of many scripts", make_response(json=_answer(_SCRIPTS)))
    for name, body in _ODD_BODIES:
        yield Shown(name, make_response(body=body))
    yield Shown("a body of 5 MiB", make_response(json=_answer("a" * _FIVE_MIB)))
    yield Shown("an answer without headers", Response(status_code=204))


def chunks() -> Iterator[Shown]:
    """For the events of a stream, in an order in which they may come."""
    yield Shown("the first event of a stream", _chunk(_delta({"role": "assistant", "content": ""})))
    yield Shown("an event of a stream", _chunk(_delta({"content": _SCRIPTS})))
    yield Shown("a tool call in a stream", _chunk(_delta({"tool_calls": [{"index": 0, "id": "call_1"}]})))
    yield Shown("another vendor's event", _chunk({"type": "message_delta", "delta": {"stop_reason": "end"}}))
    yield Shown("the usage at the end of a stream", _chunk({"choices": [], "usage": {"total_tokens": 42}}))
    yield Shown("an event that is not JSON", make_response(body=b"not JSON", is_stream_chunk=True))
    yield Shown("the last event of a stream", make_response(body=b"[DONE]", is_stream_chunk=True))


def streams() -> Iterator[Shown]:
    """For the end of a stream."""
    said = msgspec.json.encode(_delta({"content": _SCRIPTS}))
    yield Shown("a whole stream", make_stream_complete([said, b"[DONE]"], request_json=_ASKED))
    yield Shown("a stream that broke off", StreamComplete(body=b'data: {"choi', status_code=200))
    yield Shown("a stream of nothing", StreamComplete())


def proxy_logs() -> Iterator[Shown]:
    """For collectors of proxy logs."""
    asked, said = (msgspec.json.encode(what).decode() for what in (_ASKED, _SAID))
    yield Shown("a proxy log", make_proxy_log(request_body=asked, response_body=said, event_id=_id(1)))
    yield Shown("a proxy log of a refused call", _bare(make_proxy_log(event_id=_id(2), outcome="denied")))
    yield Shown(
        "a proxy log with bodies that are not UTF-8, and cut",
        make_proxy_log(
            event_id=_id(3),
            request_body="iVBORw0KGgo=",
            request_body_encoding="base64",
            request_body_truncated=True,
            response_body=_SCRIPTS,
            metadata={"note": _SCRIPTS, "number": 7, "nothing": None},
        ),
    )
    yield Shown(
        "a proxy log with bodies of 256 KiB",
        make_proxy_log(event_id=_id(4), request_body="a" * 262_144, response_body="b" * 262_144),
    )


def analytics() -> Iterator[Shown]:
    """For collectors of analytics."""
    yield Shown("analytics", make_analytics(event_id=_id(5)))
    yield Shown(
        "analytics without a price", _bare(make_analytics(event_id=_id(6), cost=None, usage_source="none"))
    )
    yield Shown("analytics of great numbers", make_analytics(event_id=_id(7), prompt_tokens=2**40))


def budget_usage() -> Iterator[Shown]:
    """For collectors of budget usage."""
    yield Shown("budget usage", make_budget_usage(event_id=_id(8)))
    yield Shown("budget usage without a price", _bare(make_budget_usage(event_id=_id(9), cost=None)))


def batches() -> Iterator[Shown]:
    """For collectors of batches; a batch holds events of one kind."""
    for events in (proxy_logs(), analytics(), budget_usage()):
        several = [shown.value for shown in events]
        yield Shown(f"a batch of one {type(several[0]).__name__}", several[:1])
        yield Shown(f"a batch of {len(several)} {type(several[0]).__name__}", several)
    yield Shown("a batch that comes again", several)


def payloads() -> Iterator[Shown]:
    """For studio plugins."""
    yield Shown("a payload", EdgePayload(id=_id(10), payload=b'{"count": 7}', edge_id="edge-1", plugin_id=1))
    yield Shown("an empty payload", EdgePayload(id=_id(11), payload=b""))
    yield Shown("a payload that is not JSON", EdgePayload(id=_id(12), payload=b"\x89PNG \xff\xfe"))
    yield Shown(
        "a payload of 1 MiB",
        EdgePayload(id=_id(13), payload=b"a" * 1024 * 1024, metadata={"note": _SCRIPTS}, correlation_id="c"),
    )


def _bare(event: Event) -> Event:
    """The event with nothing known of the call."""
    return msgspec.structs.replace(
        event, **{name: None for name in _UNKNOWN if name in event.__struct_fields__}
    )


def _id(number: int) -> str:
    return f"0197a1b2-0000-7000-8000-{number:012x}"


def _chat(text: str) -> dict[str, Any]:
    return {**_ASKED, "messages": [{"role": "user", "content": text}]}


def _answer(text: str) -> dict[str, Any]:
    return {**_SAID, "choices": [{"index": 0, "message": {"role": "assistant", "content": text}}]}


def _delta(delta: dict[str, Any]) -> dict[str, Any]:
    return {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta}]}


def _chunk(event: dict[str, Any]) -> Response:
    return make_response(json=event, headers={"Content-Type": "text/event-stream"}, is_stream_chunk=True)
