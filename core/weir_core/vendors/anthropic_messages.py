"""How Anthropic's messages say what they consumed.

``input_tokens`` leaves out what was read from and written to the cache, so the prompt is the sum of three
counters. In a stream ``message_start`` brings the prompt's and each ``message_delta`` what has been counted
since the beginning: the last value of a counter stands, nothing is summed.
"""

from __future__ import annotations

from typing import Final

import msgspec

from weir_core.usage import Answer, Usage
from weir_core.vendors.estimate import estimate_response_tokens
from weir_core.vendors.operation import StreamMark
from weir_core.vendors.reading import UNREADABLE, Count
from weir_core.vendors.sse import SseEvent


class _CacheCreation(msgspec.Struct):
    ephemeral_1h_input_tokens: Count | None = None


class _OutputDetails(msgspec.Struct):
    thinking_tokens: Count | None = None


class _ServerToolUse(msgspec.Struct):
    web_search_requests: Count | None = None


class _Usage(msgspec.Struct):
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None
    cache_creation: _CacheCreation | None = None
    output_tokens_details: _OutputDetails | None = None
    server_tool_use: _ServerToolUse | None = None
    service_tier: str | None = None
    speed: str | None = None


class _Block(msgspec.Struct):
    type: str = ""


class _Message(msgspec.Struct):
    model: str | None = None
    stop_reason: str | None = None
    content: list[_Block] | None = None
    usage: _Usage | None = None


class _Delta(msgspec.Struct):
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None
    stop_reason: str | None = None


class _Event(msgspec.Struct):
    type: str = ""
    message: _Message | None = None
    content_block: _Block | None = None
    delta: _Delta | None = None
    usage: _Usage | None = None


_MESSAGE: Final = msgspec.json.Decoder(_Message)
_EVENT: Final = msgspec.json.Decoder(_Event)

_NO_CACHE_CREATION: Final = _CacheCreation()
_NO_OUTPUT_DETAILS: Final = _OutputDetails()
_NO_SERVER_TOOLS: Final = _ServerToolUse()


def read_message(body: bytes) -> Answer:
    """Read a whole message."""
    try:
        message = _MESSAGE.decode(body)
    except UNREADABLE:
        return Answer()
    blocks = message.content or ()
    return Answer(
        usage=_usage(message.usage) if message.usage is not None else None,
        model=message.model,
        choices=1 if message.content is not None else 0,
        tool_calls=sum(map(_is_tool_call, blocks)),
        finish_reasons=(message.stop_reason,) if message.stop_reason is not None else (),
    )


class MessageReader:
    """Reads a stream of one message."""

    __slots__ = (
        "_model",
        "_stop_reason",
        "_tool_calls",
        "_usage",
        "_usage_is_final",
        "failed",
        "output_chars",
    )

    def __init__(self) -> None:
        self.output_chars = 0
        self.failed = False
        self._model: str | None = None
        self._stop_reason: str | None = None
        self._tool_calls = 0
        self._usage: _Usage | None = None
        self._usage_is_final = False

    def feed(self, event: SseEvent) -> StreamMark:
        """Take the next event; ``message_stop`` or an error ends the stream."""
        try:
            content = _EVENT.decode(event.data)
        except UNREADABLE:
            return StreamMark.NORMAL
        match content.type:
            case "content_block_delta":
                self._take_text(content.delta)
            case "content_block_start":
                self._tool_calls += content.content_block is not None and _is_tool_call(content.content_block)
            case "message_start":
                self._take_start(content.message)
            case "message_delta":
                self._take_delta(content)
            case "message_stop":
                return StreamMark.TERMINAL
            case "error":
                self.failed = True
                return StreamMark.TERMINAL
        return StreamMark.NORMAL

    def answer(self) -> Answer:
        """What has been counted so far; see ``StreamReader.answer`` for a stream that was cut."""
        return Answer(
            usage=self._usage_so_far(),
            model=self._model,
            choices=1 if self._usage is not None else 0,
            tool_calls=self._tool_calls,
            finish_reasons=(self._stop_reason,) if self._stop_reason is not None else (),
        )

    def _take_text(self, delta: _Delta | None) -> None:
        if delta is not None:
            for text in (delta.text, delta.thinking, delta.partial_json):
                if text is not None:
                    self.output_chars += len(text)

    def _take_start(self, message: _Message | None) -> None:
        if message is not None:
            self._model = message.model
            self._usage = message.usage

    def _take_delta(self, content: _Event) -> None:
        if content.delta is not None and content.delta.stop_reason is not None:
            self._stop_reason = content.delta.stop_reason
        if content.usage is not None:
            self._usage = _latest(self._usage, content.usage)
            self._usage_is_final = self._stop_reason is not None

    def _usage_so_far(self) -> Usage | None:
        if self._usage is None:
            return None
        counted = _usage(self._usage)
        if self._usage_is_final or counted is None:
            return counted
        received = estimate_response_tokens(self.output_chars)
        return msgspec.structs.replace(
            counted, response_tokens=max(counted.response_tokens, received), source="estimated"
        )


def _latest(before: _Usage | None, now: _Usage) -> _Usage:
    """The counters as they stand now; those that are no longer mentioned keep their value."""
    if before is None:
        return now
    mentioned = {name: value for name, value in msgspec.structs.asdict(now).items() if value is not None}
    return msgspec.structs.replace(before, **mentioned)


def _usage(reported: _Usage) -> Usage | None:
    if reported.input_tokens is None and reported.output_tokens is None:
        return None
    read = reported.cache_read_input_tokens or 0
    written = reported.cache_creation_input_tokens or 0
    kept_1h = (reported.cache_creation or _NO_CACHE_CREATION).ephemeral_1h_input_tokens or 0
    return Usage(
        prompt_tokens=(reported.input_tokens or 0) + read + written,
        response_tokens=reported.output_tokens or 0,
        cache_read_tokens=read,
        cache_write_tokens=written,
        cache_write_1h_tokens=min(kept_1h, written),
        reasoning_tokens=(reported.output_tokens_details or _NO_OUTPUT_DETAILS).thinking_tokens or 0,
        web_searches=(reported.server_tool_use or _NO_SERVER_TOOLS).web_search_requests or 0,
        service_tier=reported.speed if reported.speed not in (None, "standard") else reported.service_tier,
    )


def _is_tool_call(block: _Block) -> bool:
    """The caller's tools, the vendor's own and MCP's."""
    return block.type.endswith("tool_use")
