"""OpenAI's chat completions and its older completions, whole or as server-sent events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from weir_cli.mock_upstream.behaviour import Behaviour
from weir_cli.mock_upstream.call import Call
from weir_cli.mock_upstream.content import Content, ToolCall, make_content, make_usage
from weir_cli.mock_upstream.reply import Reply, data_event, encoded
from weir_core.usage import Usage

DONE: Final = b"data: [DONE]\n\n"

_Document = dict[str, Any]


def chat_completion(call: Call, behaviour: Behaviour) -> Reply:
    """``POST /v1/chat/completions``."""
    content = make_content(call, behaviour)
    usage = make_usage(call, behaviour, content)
    if call.stream:
        return _streamed(call, behaviour, usage, "chat.completion.chunk", _chat_deltas(call, content))
    message: _Document = {
        "role": "assistant",
        "content": content.text or None,
        "refusal": None,
        "annotations": [],
    }
    if content.tool_calls:
        message["tool_calls"] = [_tool_call(item) for item in content.tool_calls]
    choice = {"message": message, "logprobs": None, "finish_reason": _finish_reason(content)}
    return _whole(call, usage, "chat.completion", choice)


def completion(call: Call, behaviour: Behaviour) -> Reply:
    """``POST /v1/completions``."""
    content = make_content(call, behaviour)
    usage = make_usage(call, behaviour, content)
    if call.stream:
        return _streamed(call, behaviour, usage, "text_completion", _text_deltas(call, content))
    choice = {"text": content.text, "logprobs": None, "finish_reason": "stop"}
    return _whole(call, usage, "text_completion", choice)


def usage_document(usage: Usage) -> _Document:
    """Usage as chat completions report it: the prompt includes what was cached."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.response_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
            "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _whole(call: Call, usage: Usage | None, kind: str, choice: Mapping[str, Any]) -> Reply:
    document = _head(call, kind)
    document["choices"] = [{"index": index, **choice} for index in range(_choices(call))]
    if usage is not None:
        document["usage"] = usage_document(usage)
    return Reply(body=encoded(document), usage=usage)


def _streamed(
    call: Call, behaviour: Behaviour, usage: Usage | None, kind: str, choices: Iterator[_Document]
) -> Reply:
    wanted = usage if _include_usage(call) else None
    chunks = [_head(call, kind) | {"choices": [choice]} for choice in choices]
    if wanted is not None:
        _put_usage(chunks, _head(call, kind), wanted, behaviour)
    return Reply(events=(*map(data_event, chunks), DONE), usage=wanted)


def _put_usage(chunks: list[_Document], head: _Document, usage: Usage, behaviour: Behaviour) -> None:
    """As OpenAI does: null in each chunk, then one without choices. The odd shapes are other servers'."""
    cumulative = "cumulative_usage" in behaviour.shape
    for number, chunk in enumerate(chunks, start=1):
        chunk["usage"] = _so_far(usage, number, len(chunks)) if cumulative else None
    if "usage_with_choices" in behaviour.shape:
        chunks[-1]["usage"] = usage_document(usage)
    else:
        chunks.append(head | {"choices": [], "usage": usage_document(usage)})


def _so_far(usage: Usage, number: int, total: int) -> _Document:
    spent = usage.response_tokens * number // total
    document = usage_document(usage)
    return document | {"completion_tokens": spent, "total_tokens": usage.prompt_tokens + spent}


def _head(call: Call, kind: str) -> _Document:
    return {
        "id": call.id,
        "object": kind,
        "created": call.created,
        "model": call.model,
        "service_tier": "default",
        "system_fingerprint": "fp_mock",
    }


def _chat_deltas(call: Call, content: Content) -> Iterator[_Document]:
    indices = range(_choices(call))
    for index in indices:
        yield _delta(
            index, {"role": "assistant", "content": None if content.tool_calls else "", "refusal": None}
        )
    for text in content.chunks:
        for index in indices:
            yield _delta(index, {"content": text})
    for index in indices:
        for position, item in enumerate(content.tool_calls):
            yield _delta(index, {"tool_calls": [{"index": position, **_tool_call(item, arguments="")}]})
            for part in item.fragments():
                yield _delta(index, {"tool_calls": [{"index": position, "function": {"arguments": part}}]})
    for index in indices:
        yield _delta(index, {}, _finish_reason(content))


def _text_deltas(call: Call, content: Content) -> Iterator[_Document]:
    indices = range(_choices(call))
    for text in content.chunks:
        for index in indices:
            yield {"index": index, "text": text, "logprobs": None, "finish_reason": None}
    for index in indices:
        yield {"index": index, "text": "", "logprobs": None, "finish_reason": "stop"}


def _delta(index: int, delta: _Document, finish_reason: str | None = None) -> _Document:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


def _tool_call(item: ToolCall, arguments: str | None = None) -> _Document:
    text = item.arguments if arguments is None else arguments
    return {"id": item.id, "type": "function", "function": {"name": item.name, "arguments": text}}


def _finish_reason(content: Content) -> str:
    return "tool_calls" if content.tool_calls else "stop"


def _choices(call: Call) -> int:
    wanted = call.document.get("n")
    return wanted if isinstance(wanted, int) and wanted > 0 else 1


def _include_usage(call: Call) -> bool:
    options = call.document.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True
