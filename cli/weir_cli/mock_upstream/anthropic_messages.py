"""Anthropic's messages, token counting and models."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from weir_cli.mock_upstream.behaviour import PRESETS, Behaviour
from weir_cli.mock_upstream.call import Call
from weir_cli.mock_upstream.content import Content, make_content, make_usage
from weir_cli.mock_upstream.reply import Reply, encoded, named_event
from weir_cli.mock_upstream.vendor_errors import error_reply
from weir_core.usage import Usage

MODELS: Final = ("claude-sonnet-4-5", "claude-haiku-4-5", *PRESETS)
_CUMULATIVE_STEPS: Final = 3

_Document = dict[str, Any]


def message(call: Call, behaviour: Behaviour) -> Reply:
    """``POST /v1/messages``."""
    content = make_content(call, behaviour)
    usage = make_usage(call, behaviour, content)
    if call.stream:
        return Reply(events=tuple(map(named_event, _events(call, behaviour, content, usage))), usage=usage)
    blocks = [block for block, _ in _blocks(content)]
    document = _message(call, blocks, _stop_reason(content))
    if usage is not None:
        document["usage"] = usage_document(usage)
    return Reply(body=encoded(document), usage=usage)


def count_tokens(call: Call, behaviour: Behaviour) -> Reply:
    """``POST /v1/messages/count_tokens``: consumes nothing itself."""
    counted = make_usage(call, behaviour, Content((), ()))
    return Reply(body=encoded({"input_tokens": counted.prompt_tokens if counted else 0}))


def list_models(call: Call, behaviour: Behaviour) -> Reply:
    """``GET /v1/models``."""
    del call, behaviour
    page = {"data": [_model(name) for name in MODELS], "has_more": False}
    return Reply(body=encoded(page | {"first_id": MODELS[0], "last_id": MODELS[-1]}))


def get_model(call: Call, behaviour: Behaviour) -> Reply:
    """``GET /v1/models/{id}``: 404 for a model that the list does not have."""
    del behaviour
    if call.argument in MODELS:
        return Reply(body=encoded(_model(call.argument)))
    return error_reply(call, 404, f"model: {call.argument}")


def usage_document(usage: Usage) -> _Document:
    """Usage as Anthropic reports it: the input excludes what was read from or written to the cache."""
    document: _Document = {
        "input_tokens": usage.prompt_tokens - usage.cache_read_tokens - usage.cache_write_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cache_read_tokens,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write_tokens,
            "ephemeral_1h_input_tokens": 0,
        },
        "output_tokens": usage.response_tokens,
        "service_tier": "standard",
    }
    if usage.reasoning_tokens:
        document["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    return document


def _events(call: Call, behaviour: Behaviour, content: Content, usage: Usage | None) -> Iterator[_Document]:
    started = _message(call, [], None)
    if usage is not None:
        # The first event already counts one token of output, and later counters include it.
        started["usage"] = usage_document(
            msgspec.structs.replace(usage, response_tokens=1, reasoning_tokens=0)
        )
    yield {"type": "message_start", "message": started}
    for index, (block, deltas) in enumerate(_blocks(content)):
        empty: _Document = {"input": {}} if block["type"] == "tool_use" else {"text": ""}
        yield {"type": "content_block_start", "index": index, "content_block": block | empty}
        if index == 0:
            yield {"type": "ping"}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    yield from _message_deltas(behaviour, content, usage)
    yield {"type": "message_stop"}


def _message_deltas(behaviour: Behaviour, content: Content, usage: Usage | None) -> Iterator[_Document]:
    steps = _CUMULATIVE_STEPS if "cumulative_usage" in behaviour.shape else 1
    for step in range(1, steps + 1):
        reason = _stop_reason(content) if step == steps else None
        event: _Document = {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}}
        if usage is not None:
            counters = usage_document(usage)
            del counters["cache_creation"], counters["service_tier"]
            event["usage"] = counters | {"output_tokens": usage.response_tokens * step // steps}
        yield event


def _message(call: Call, blocks: list[_Document], stop_reason: str | None) -> _Document:
    return {
        "id": call.id,
        "type": "message",
        "role": "assistant",
        "model": call.model,
        "content": blocks,
        "stop_reason": stop_reason,
        "stop_sequence": None,
    }


def _blocks(content: Content) -> Iterator[tuple[_Document, list[_Document]]]:
    """Each content block whole, and the deltas that build it."""
    for item in content.tool_calls:
        block = {
            "type": "tool_use",
            "id": item.id,
            "name": item.name,
            "input": msgspec.json.decode(item.arguments),
        }
        yield block, [{"type": "input_json_delta", "partial_json": part} for part in item.fragments()]
    if not content.tool_calls:
        deltas = [{"type": "text_delta", "text": text} for text in content.chunks]
        yield {"type": "text", "text": content.text}, deltas


def _stop_reason(content: Content) -> str:
    return "tool_use" if content.tool_calls else "end_turn"


def _model(name: str) -> _Document:
    return {
        "type": "model",
        "id": name,
        "display_name": name,
        "created_at": "2025-01-01T00:00:00Z",
        "lifecycle": "active",
    }
