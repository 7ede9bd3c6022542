"""Recorded events and calls out of a file; docs/plugins.md describes what may stand there."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator
from typing import Any, Final, TypeAlias

import msgspec

from weir_cli.errors import NotRecordedError
from weir_core.vendors.sse import SseEvent, SseSplitter
from weir_sdk import Analytics, BudgetUsage, Event, ProxyLog, Request, Response

_SHOWN: Final = 80
_NO_SPACE: Final = re.compile(r"\S")
_SAID_BY: Final[tuple[tuple[str, type[Event]], ...]] = (
    ("response_code", ProxyLog),
    ("tokens_used", BudgetUsage),
    ("total_tokens", Analytics),
)
"""A field that one kind of event has and the others have not."""


class Call(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The facts of a call; who calls is known to hooks from ``post_auth`` on."""

    request_id: str = "0197a1b2-0000-7000-8000-000000000000"
    llm_id: int | None = 1
    llm_slug: str = "my-llm"
    vendor: str = "openai"
    app_id: int | None = 1
    user_id: str | None = None
    metadata: dict[str, str] = {}


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """A request, and what the model answered to it.

    Attributes:
        call: Whose it is.
        request: As the client sent it.
        response: The answer in one piece, or its head where there are ``events``; None when none is recorded.
        events: The answer's server-sent events; None when it was not streamed.
    """

    call: Call
    request: Request
    response: Response | None = None
    events: tuple[SseEvent, ...] | None = None


Recorded: TypeAlias = Event | Exchange


class _RequestForm(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    method: str = "POST"
    path: str = "/llm/call/my-llm/v1/chat/completions"
    query_string: str = ""
    headers: dict[str, str] = {}
    body: Any = None
    body_base64: str = ""
    remote_addr: str = "203.0.113.7:50000"


class _ResponseForm(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    status_code: int = 200
    headers: dict[str, str] = {}
    body: Any = None
    body_base64: str = ""
    chunks: list[Any] | None = None


class _ExchangeForm(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    request: _RequestForm
    response: _ResponseForm | None = None
    call: Call = Call()


def read_recorded(text: bytes) -> list[Recorded]:
    """Read JSON values, one behind the other: events, recorded calls, answers of the records API.

    Raises:
        NotRecordedError: It is something else, or nothing; the message names the place.
    """
    found: list[Recorded] = []
    for where, value in _values(text):
        for item in _items(value):
            found.append(_read(item, where))
    if not found:
        raise NotRecordedError("there is no event in it")
    return found


def exchange_of(log: ProxyLog) -> Exchange:
    """The call that a proxy log tells of, as far as it does: headers and the query are not recorded."""
    body = _bytes_of(log.response_body, log.response_body_encoding)
    return Exchange(
        call=Call(
            request_id=log.request_id,
            llm_id=log.llm_id,
            llm_slug=log.llm_slug or "",
            vendor=log.vendor or "",
            app_id=log.app_id,
            user_id=log.user_id,
        ),
        request=Request(
            method=log.method,
            path=log.path,
            headers={"Content-Type": "application/json"},
            body=_bytes_of(log.request_body, log.request_body_encoding),
        ),
        response=None
        if log.response_body is None
        else Response(
            status_code=log.response_code,
            headers={"Content-Type": "text/event-stream" if log.stream else "application/json"},
            body=b"" if log.stream else body,
            request_id=log.request_id,
        ),
        events=_events_in(body) if log.stream and log.response_body is not None else None,
    )


def _values(text: bytes) -> Iterator[tuple[str, Any]]:
    """The JSON values in a text, one behind the other, each with the line in which it begins."""
    decoder, position, line = json.JSONDecoder(), 0, 1
    try:
        decoded = text.decode("utf-8-sig")
        while (start := _NO_SPACE.search(decoded, position)) is not None:
            line += decoded.count("\n", position, start.start())
            value, end = decoder.raw_decode(decoded, start.start())
            yield f"line {line}: ", value
            line += decoded.count("\n", start.start(), end)
            position = end
    except json.JSONDecodeError as error:
        raise NotRecordedError(f"line {error.lineno}: it is not JSON: {error.msg}") from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise NotRecordedError(f"it is not JSON: {error}") from error


def _items(value: Any) -> Iterator[Any]:
    """Single values out of a list, a page of records, a dead letter."""
    if isinstance(value, list):
        for item in value:
            yield from _items(item)
    elif isinstance(value, dict) and "request" not in value and isinstance(value.get("data"), list | dict):
        yield from _items(value["data"])
    elif isinstance(value, dict) and isinstance(value.get("event"), dict):
        yield value["event"]
    else:
        yield value


def _read(value: Any, where: str) -> Recorded:
    try:
        if isinstance(value, dict) and "request" in value:
            return _exchange(msgspec.convert(value, _ExchangeForm))
        return msgspec.convert(value, _kind_of(value))
    except (msgspec.ValidationError, binascii.Error, NotRecordedError) as error:
        raise NotRecordedError(f"{where}{error}") from error


def _kind_of(value: Any) -> type[Event]:
    for field, kind in _SAID_BY:
        if isinstance(value, dict) and field in value:
            return kind
    shown = msgspec.json.encode(value).decode()[:_SHOWN]
    raise NotRecordedError(
        f"{shown} is neither an event (proxy log, analytics, budget usage) nor a recorded call, which is an "
        'object {"request": {...}, "response": {...}}'
    )


def _exchange(form: _ExchangeForm) -> Exchange:
    given = form.request
    request = Request(
        method=given.method,
        path=given.path,
        query_string=given.query_string,
        headers={"Content-Type": "application/json", **given.headers},
        body=_body(given.body, given.body_base64),
        remote_addr=given.remote_addr,
    )
    answer = form.response
    if answer is None:
        return Exchange(call=form.call, request=request)
    kind = "application/json" if answer.chunks is None else "text/event-stream"
    response = Response(
        status_code=answer.status_code,
        headers={"Content-Type": kind, **answer.headers},
        body=_body(answer.body, answer.body_base64),
        request_id=form.call.request_id,
    )
    events = None if answer.chunks is None else tuple(map(_event, answer.chunks))
    return Exchange(call=form.call, request=request, response=response, events=events)


def _body(body: Any, encoded: str) -> bytes:
    if encoded:
        return base64.b64decode(encoded, validate=True)
    if body is None:
        return b""
    return body.encode() if isinstance(body, str) else msgspec.json.encode(body)


def _event(chunk: Any) -> SseEvent:
    data = _body(chunk, "")
    return SseEvent(b"data: %b\n\n" % data, None, data)


def _events_in(body: bytes) -> tuple[SseEvent, ...]:
    # The record ends where the answer did, or was cut; either way the last event may lack its end.
    return tuple(event for event in SseSplitter().feed(body + b"\n\n") if event.data)


def _bytes_of(text: str | None, encoding: str | None) -> bytes:
    if text is None:
        return b""
    return base64.b64decode(text) if encoding == "base64" else text.encode("utf-8", "surrogatepass")
