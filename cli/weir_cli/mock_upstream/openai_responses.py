"""OpenAI's Responses API: create, whole or as its sequence of typed events."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from weir_cli.mock_upstream.behaviour import Behaviour
from weir_cli.mock_upstream.call import Call
from weir_cli.mock_upstream.content import Content, ToolCall, make_content, make_usage
from weir_cli.mock_upstream.reply import Reply, encoded, named_event
from weir_core.usage import Usage

_Document = dict[str, Any]


def response(call: Call, behaviour: Behaviour) -> Reply:
    """``POST /v1/responses``."""
    content = make_content(call, behaviour)
    usage = make_usage(call, behaviour, content)
    if not call.stream:
        return Reply(body=encoded(_finished(call, content, usage)), usage=usage)
    events = (
        named_event(event | {"sequence_number": number})
        for number, event in enumerate(_events(call, content, usage))
    )
    return Reply(events=tuple(events), usage=usage)


def usage_document(usage: Usage) -> _Document:
    """Usage as Responses report it: the input includes what was cached."""
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.response_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_tokens,
    }


def _events(call: Call, content: Content, usage: Usage | None) -> Iterator[_Document]:
    started = _response(call, "in_progress", [], None)
    yield {"type": "response.created", "response": started}
    yield {"type": "response.in_progress", "response": started}
    if content.tool_calls:
        for index, item in enumerate(content.tool_calls):
            yield from _tool_call_events(index, item)
    else:
        yield from _message_events(call, content)
    yield {"type": "response.completed", "response": _finished(call, content, usage)}


def _message_events(call: Call, content: Content) -> Iterator[_Document]:
    where = {"item_id": _message_id(call), "output_index": 0, "content_index": 0}
    empty, full = _part(""), _part(content.text)
    item = _message(call, "in_progress", [])
    yield {"type": "response.output_item.added", "output_index": 0, "item": item}
    yield {"type": "response.content_part.added", **where, "part": empty}
    for text in content.chunks:
        yield {"type": "response.output_text.delta", **where, "delta": text, "logprobs": []}
    yield {"type": "response.output_text.done", **where, "text": content.text, "logprobs": []}
    yield {"type": "response.content_part.done", **where, "part": full}
    done = _message(call, "completed", [full])
    yield {"type": "response.output_item.done", "output_index": 0, "item": done}


def _tool_call_events(index: int, item: ToolCall) -> Iterator[_Document]:
    where = {"item_id": _item_id(item), "output_index": index}
    begun = _function_call(item, "in_progress", "")
    done = _function_call(item, "completed", item.arguments)
    yield {"type": "response.output_item.added", "output_index": index, "item": begun}
    for part in item.fragments():
        yield {"type": "response.function_call_arguments.delta", **where, "delta": part}
    name_and_text = {"name": item.name, "arguments": item.arguments}
    yield {"type": "response.function_call_arguments.done", **where, **name_and_text}
    yield {"type": "response.output_item.done", "output_index": index, "item": done}


def _finished(call: Call, content: Content, usage: Usage | None) -> _Document:
    output = [_function_call(item, "completed", item.arguments) for item in content.tool_calls]
    if not output:
        output = [_message(call, "completed", [_part(content.text)])]
    return _response(call, "completed", output, usage)


def _response(call: Call, status: str, output: list[_Document], usage: Usage | None) -> _Document:
    return {
        "id": call.id,
        "object": "response",
        "created_at": call.created,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": call.document.get("instructions"),
        "max_output_tokens": call.document.get("max_output_tokens"),
        "metadata": call.document.get("metadata") or {},
        "model": call.model,
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": call.document.get("previous_response_id"),
        "reasoning": {"effort": None, "summary": None},
        "service_tier": "default",
        "store": False,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": call.document.get("tools") or [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": None if usage is None else usage_document(usage),
        "user": call.document.get("user"),
    }


def _message(call: Call, status: str, parts: list[_Document]) -> _Document:
    return {
        "id": _message_id(call),
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": parts,
    }


def _part(text: str) -> _Document:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _function_call(item: ToolCall, status: str, arguments: str) -> _Document:
    return {
        "id": _item_id(item),
        "type": "function_call",
        "status": status,
        "call_id": item.id,
        "name": item.name,
        "arguments": arguments,
    }


def _message_id(call: Call) -> str:
    return "msg_" + call.serial


def _item_id(item: ToolCall) -> str:
    return "fc_" + item.id
