"""How OpenAI's Responses API says what it consumed."""

from __future__ import annotations

from typing import Final

import msgspec

from weir_core.usage import Answer, Usage
from weir_core.vendors.operation import StreamMark
from weir_core.vendors.reading import UNREADABLE, Count
from weir_core.vendors.sse import SseEvent

_TERMINAL: Final = frozenset({"response.completed", "response.incomplete", "response.failed", "error"})
_FAILED: Final = frozenset({"response.failed", "error"})
_ENDED: Final = frozenset({"completed", "incomplete", "failed", "cancelled"})
# OpenAI ends this API's streams with the response itself; servers that speak both APIs may add the marker.
_DONE: Final = b"[DONE]"


class _InputDetails(msgspec.Struct):
    cached_tokens: Count | None = None
    cache_write_tokens: Count | None = None


class _OutputDetails(msgspec.Struct):
    reasoning_tokens: Count | None = None


class _Usage(msgspec.Struct):
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    input_tokens_details: _InputDetails | None = None
    output_tokens_details: _OutputDetails | None = None


class _Action(msgspec.Struct):
    type: str | None = None


class _Item(msgspec.Struct):
    type: str = ""
    action: _Action | None = None


class _IncompleteDetails(msgspec.Struct):
    reason: str | None = None


class _Response(msgspec.Struct):
    model: str | None = None
    status: str | None = None
    service_tier: str | None = None
    usage: _Usage | None = None
    output: list[_Item] | None = None
    incomplete_details: _IncompleteDetails | None = None


class _Event(msgspec.Struct):
    type: str = ""
    delta: str | dict[str, msgspec.Raw] | None = None
    response: _Response | None = None


_RESPONSE: Final = msgspec.json.Decoder(_Response, strict=False)
_EVENT: Final = msgspec.json.Decoder(_Event, strict=False)

_NO_INPUT_DETAILS: Final = _InputDetails()
_NO_OUTPUT_DETAILS: Final = _OutputDetails()


def read_response(body: bytes) -> Answer:
    """Read a whole response."""
    try:
        return _answer(_RESPONSE.decode(body))
    except UNREADABLE:
        return Answer()


class ResponseReader:
    """Reads a stream of a response, whose last event carries the whole of it, usage included."""

    __slots__ = ("_response", "failed", "output_chars")

    def __init__(self) -> None:
        self.output_chars = 0
        self.failed = False
        self._response = _Response()

    def feed(self, event: SseEvent) -> StreamMark:
        """Take the next event; a completed, incomplete or failed response or an error ends the stream."""
        if event.data.startswith(_DONE):
            return StreamMark.TERMINAL
        try:
            content = _EVENT.decode(event.data)
        except UNREADABLE:
            return StreamMark.NORMAL
        if content.response is not None:
            self._response = content.response
        if isinstance(content.delta, str) and not content.type.startswith("response.audio."):
            self.output_chars += len(content.delta)
        if content.type in _FAILED:
            self.failed = True
        return StreamMark.TERMINAL if content.type in _TERMINAL else StreamMark.NORMAL

    def answer(self) -> Answer:
        """The usage is None until the last event has come."""
        return _answer(self._response)


def _answer(response: _Response) -> Answer:
    items = response.output or ()
    return Answer(
        usage=_usage(response, items),
        model=response.model,
        choices=1 if items else 0,
        tool_calls=sum(item.type.endswith("_call") for item in items),
        finish_reasons=_finish_reasons(response),
    )


def _finish_reasons(response: _Response) -> tuple[str, ...]:
    if response.status not in _ENDED:
        return ()
    incomplete = response.incomplete_details
    return ((incomplete.reason if incomplete is not None else None) or response.status,)


def _usage(response: _Response, items: list[_Item] | tuple[()]) -> Usage | None:
    reported = response.usage
    if reported is None or (reported.input_tokens is None and reported.output_tokens is None):
        return None
    prompt = reported.input_tokens_details or _NO_INPUT_DETAILS
    output = reported.output_tokens_details or _NO_OUTPUT_DETAILS
    return Usage(
        prompt_tokens=reported.input_tokens or 0,
        response_tokens=reported.output_tokens or 0,
        cache_read_tokens=prompt.cached_tokens or 0,
        cache_write_tokens=prompt.cache_write_tokens or 0,
        reasoning_tokens=output.reasoning_tokens or 0,
        web_searches=sum(_is_web_search(item) for item in items),
        file_searches=sum(item.type == "file_search_call" for item in items),
        service_tier=response.service_tier,
    )


def _is_web_search(item: _Item) -> bool:
    """Opening a page that was found, or searching in it, is not charged."""
    return item.type == "web_search_call" and (item.action is None or item.action.type in (None, "search"))
