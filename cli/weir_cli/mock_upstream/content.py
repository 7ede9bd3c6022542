"""What the mock model says and consumes, before a vendor's shape is put around it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from weir_cli.mock_upstream.behaviour import Behaviour
from weir_cli.mock_upstream.call import Call
from weir_cli.mock_upstream.errors import BehaviourError
from weir_cli.mock_upstream.reply import encoded
from weir_core.usage import Usage

_SENTENCE: Final = "This answer was made up by the mock upstream, one word a chunk."
_FRAGMENT_CHARS: Final = 8
_SAMPLES: Final = {"integer": 7, "number": 0.5, "boolean": True, "array": [], "object": {}, "null": None}


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of one of the client's tools; ``arguments`` is JSON text."""

    id: str
    name: str
    arguments: str

    def fragments(self) -> Iterator[str]:
        """The arguments as a stream delivers them."""
        for start in range(0, len(self.arguments), _FRAGMENT_CHARS):
            yield self.arguments[start : start + _FRAGMENT_CHARS]


@dataclass(frozen=True, slots=True)
class Content:
    """The model's answer: text, or calls of tools."""

    chunks: tuple[str, ...]
    tool_calls: tuple[ToolCall, ...]

    @property
    def text(self) -> str:
        """The whole text; empty when tools are called."""
        return "".join(self.chunks)


def make_content(call: Call, behaviour: Behaviour) -> Content:
    """Tool calls when the client offers tools and waits for none of their results, else text.

    Raises:
        BehaviourError: Tool calls were demanded of a request that offers no tools.
    """
    tools = [tool for tool in call.document.get("tools") or () if isinstance(tool, dict)]
    wanted = behaviour.tool_calls
    if wanted is None:
        wanted = 1 if tools and not _has_tool_result(call.document) else 0
    if not wanted:
        return Content(tuple(_texts(behaviour)), ())
    if not tools:
        raise BehaviourError("tool_calls was set, but the request offers no tools to call.")
    return Content((), tuple(_tool_call(call, number, tools) for number in range(wanted)))


def make_usage(call: Call, behaviour: Behaviour, content: Content) -> Usage | None:
    """What the answer reports, None when it is to report nothing.

    Raises:
        BehaviourError: More cached than prompt tokens, or more reasoning than response tokens.
    """
    if not behaviour.report_usage:
        return None
    cached = behaviour.cache_read_tokens + behaviour.cache_write_tokens
    prompt = behaviour.prompt_tokens
    response = behaviour.response_tokens
    if prompt is None:
        prompt = cached + max(1, len(call.body) // 4)
    if response is None:
        response = behaviour.reasoning_tokens + max(1, len(content.chunks) + 10 * len(content.tool_calls))
    if cached > prompt or behaviour.reasoning_tokens > response:
        raise BehaviourError("Cached tokens are part of the prompt's, reasoning tokens of the response's.")
    return Usage(
        prompt_tokens=prompt,
        response_tokens=response,
        cache_read_tokens=behaviour.cache_read_tokens,
        cache_write_tokens=behaviour.cache_write_tokens,
        reasoning_tokens=behaviour.reasoning_tokens,
    )


def _texts(behaviour: Behaviour) -> Iterator[str]:
    words = itertools.cycle(_SENTENCE.split())
    for _ in range(behaviour.chunks):
        text = next(words) + " " if behaviour.chunk_text is None else behaviour.chunk_text
        yield text if behaviour.chunk_bytes is None else text.ljust(behaviour.chunk_bytes, "x")


def _has_tool_result(document: Mapping[str, Any]) -> bool:
    turns = document.get("messages") or document.get("input") or ()
    last = turns[-1] if isinstance(turns, list) and turns else None
    if not isinstance(last, dict):
        return False
    if last.get("role") == "tool" or last.get("type") == "function_call_output":
        return True
    blocks = last.get("content")
    return isinstance(blocks, list) and any(
        isinstance(block, dict) and block.get("type") == "tool_result" for block in blocks
    )


def _tool_call(call: Call, number: int, tools: Sequence[Mapping[str, Any]]) -> ToolCall:
    tool = tools[number % len(tools)]
    described = tool.get("function", tool)  # OpenAI's chat nests what its Responses and Anthropic do not
    schema = described.get("parameters") or described.get("input_schema") or {}
    prefix = "toolu_" if call.vendor == "anthropic" else "call_"
    return ToolCall(
        f"{prefix}{call.serial}{number}", str(described.get("name")), encoded(_sample(schema)).decode()
    )


def _sample(schema: Mapping[str, Any]) -> dict[str, Any]:
    properties = schema.get("properties") or {}
    return {
        name: (rule.get("enum") or [_SAMPLES.get(rule.get("type", "string"), "mock")])[0]
        for name, rule in properties.items()
        if isinstance(rule, dict)
    }
