"""How OpenAI's chat completions, completions and embeddings say what they consumed."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from weir_core.usage import Answer, Usage
from weir_core.vendors.operation import StreamMark
from weir_core.vendors.reading import UNREADABLE, Count
from weir_core.vendors.sse import SseEvent

_DONE: Final = b"[DONE]"


class _PromptDetails(msgspec.Struct):
    cached_tokens: Count | None = None
    cache_write_tokens: Count | None = None
    audio_tokens: Count | None = None


class _CompletionDetails(msgspec.Struct):
    reasoning_tokens: Count | None = None
    audio_tokens: Count | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None


class _Message(msgspec.Struct):
    tool_calls: list[msgspec.Raw] | None = None


class _Choice(msgspec.Struct):
    finish_reason: str | None = None
    message: _Message | None = None


class _Completion(msgspec.Struct):
    model: str | None = None
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    service_tier: str | None = None


class _Function(msgspec.Struct):
    arguments: str | None = None


class _ToolDelta(msgspec.Struct):
    index: int = 0
    function: _Function | None = None


class _Delta(msgspec.Struct):
    content: str | list[msgspec.Raw] | None = None
    refusal: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[_ToolDelta] | None = None


class _ChunkChoice(msgspec.Struct):
    index: int = 0
    finish_reason: str | None = None
    text: str | None = None
    delta: _Delta | None = None


class _Chunk(msgspec.Struct):
    model: str | None = None
    choices: list[_ChunkChoice] | None = None
    usage: _Usage | None = None
    service_tier: str | None = None
    error: Any = None


# Not strict, because compatible servers write counters as 12.0 too.
_COMPLETION: Final = msgspec.json.Decoder(_Completion, strict=False)
_CHUNK: Final = msgspec.json.Decoder(_Chunk, strict=False)

_NO_PROMPT_DETAILS: Final = _PromptDetails()
_NO_COMPLETION_DETAILS: Final = _CompletionDetails()


def read_completion(body: bytes) -> Answer:
    """Read a whole answer of chat completions, completions or embeddings."""
    try:
        completion = _COMPLETION.decode(body)
    except UNREADABLE:
        return Answer()
    choices = completion.choices or ()
    messages = [choice.message for choice in choices if choice.message is not None]
    return Answer(
        usage=_usage(completion.usage, completion.service_tier),
        model=completion.model,
        choices=len(choices),
        tool_calls=sum(len(message.tool_calls or ()) for message in messages),
        finish_reasons=tuple(choice.finish_reason for choice in choices if choice.finish_reason is not None),
    )


class CompletionReader:
    """Reads a stream of chat completions or completions.

    Usage comes in a chunk of its own with ``choices: []`` (OpenAI) or with the last choice, or with every
    chunk (compatible servers); it always counts from the beginning, so the last one stands.
    """

    __slots__ = (
        "_finish_reasons",
        "_model",
        "_service_tier",
        "_tool_calls",
        "_usage",
        "failed",
        "output_chars",
    )

    def __init__(self) -> None:
        self.output_chars = 0
        self.failed = False
        self._model: str | None = None
        self._service_tier: str | None = None
        self._usage: _Usage | None = None
        self._finish_reasons: dict[int, str | None] = {}
        self._tool_calls: set[tuple[int, int]] = set()

    def feed(self, event: SseEvent) -> StreamMark:
        """Take the next chunk; ``[DONE]`` or an error ends the stream."""
        if event.data.startswith(_DONE):
            return StreamMark.TERMINAL
        try:
            chunk = _CHUNK.decode(event.data)
        except UNREADABLE:
            return StreamMark.NORMAL
        self._model = chunk.model or self._model
        self._service_tier = chunk.service_tier or self._service_tier
        for choice in chunk.choices or ():
            self._take(choice)
        if chunk.error is not None:
            self.failed = True
            return StreamMark.TERMINAL
        if chunk.usage is None:
            return StreamMark.NORMAL
        self._usage = chunk.usage
        return StreamMark.NORMAL if chunk.choices else StreamMark.USAGE_ONLY

    def answer(self) -> Answer:
        """The usage is None until the vendor has sent it."""
        reasons = (reason for _, reason in sorted(self._finish_reasons.items()))
        return Answer(
            usage=_usage(self._usage, self._service_tier),
            model=self._model,
            choices=len(self._finish_reasons),
            tool_calls=len(self._tool_calls),
            finish_reasons=tuple(reason for reason in reasons if reason is not None),
        )

    def _take(self, choice: _ChunkChoice) -> None:
        if choice.finish_reason is not None or choice.index not in self._finish_reasons:
            self._finish_reasons[choice.index] = choice.finish_reason
        if choice.text is not None:
            self.output_chars += len(choice.text)
        delta = choice.delta
        if delta is None:
            return
        if isinstance(delta.content, str):
            self.output_chars += len(delta.content)
        for text in (delta.reasoning_content, delta.reasoning, delta.refusal):
            if text is not None:
                self.output_chars += len(text)
        for call in delta.tool_calls or ():
            self._tool_calls.add((choice.index, call.index))
            if call.function is not None and call.function.arguments is not None:
                self.output_chars += len(call.function.arguments)


def _usage(reported: _Usage | None, service_tier: str | None) -> Usage | None:
    if reported is None or (reported.prompt_tokens is None and reported.completion_tokens is None):
        return None
    prompt = reported.prompt_tokens_details or _NO_PROMPT_DETAILS
    completion = reported.completion_tokens_details or _NO_COMPLETION_DETAILS
    return Usage(
        prompt_tokens=reported.prompt_tokens or 0,
        response_tokens=reported.completion_tokens or 0,
        cache_read_tokens=prompt.cached_tokens or 0,
        cache_write_tokens=prompt.cache_write_tokens or 0,
        reasoning_tokens=completion.reasoning_tokens or 0,
        audio_prompt_tokens=prompt.audio_tokens or 0,
        audio_response_tokens=completion.audio_tokens or 0,
        service_tier=service_tier,
    )
