import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir_core.usage import Answer, Usage
from weir_core.vendors import StreamMark, StreamReader, get_vendor
from weir_core.vendors.sse import SseEvent

MESSAGES = get_vendor("anthropic").match("POST", "/v1/messages")
assert MESSAGES is not None

START_USAGE = {
    "input_tokens": 21,
    "cache_creation_input_tokens": 188,
    "cache_read_input_tokens": 2048,
    "cache_creation": {"ephemeral_5m_input_tokens": 88, "ephemeral_1h_input_tokens": 100},
    "output_tokens": 1,
    "service_tier": "standard",
}


def read(message: Any) -> Answer:
    return MESSAGES.read_answer(json.dumps(message).encode())


def event(content: dict[str, Any]) -> SseEvent:
    data = json.dumps(content).encode()
    return SseEvent(b"", content["type"], data)


def start(usage: dict[str, Any] | None = None) -> SseEvent:
    message = {"id": "msg_1", "model": "claude-sonnet-4-5-20250929", "content": [], "stop_reason": None}
    return event({"type": "message_start", "message": {**message, "usage": usage or START_USAGE}})


def block(kind: str) -> SseEvent:
    return event({"type": "content_block_start", "index": 0, "content_block": {"type": kind}})


def delta(**content: str) -> SseEvent:
    return event({"type": "content_block_delta", "index": 0, "delta": {"type": "x_delta", **content}})


def message_delta(stop_reason: str | None = "end_turn", **usage: Any) -> SseEvent:
    return event({"type": "message_delta", "delta": {"stop_reason": stop_reason}, "usage": usage})


STOP = event({"type": "message_stop"})


@pytest.fixture
def stream() -> StreamReader:
    return MESSAGES.stream_reader()


def test_the_prompt_of_a_message_includes_what_was_read_from_and_written_to_the_cache() -> None:
    answer = read(
        {
            "id": "msg_1",
            "type": "message",
            "model": "claude-opus-4-8",
            "content": [
                {"type": "thinking", "thinking": "..."},
                {"type": "text", "text": "Hi"},
                {"type": "tool_use", "id": "a", "name": "f", "input": {}},
                {"type": "server_tool_use", "id": "b", "name": "web_search", "input": {}},
                {"type": "web_search_tool_result", "content": []},
                {"type": "mcp_tool_use", "id": "c"},
            ],
            "stop_reason": "tool_use",
            "usage": {
                **START_USAGE,
                "output_tokens": 503,
                "output_tokens_details": {"thinking_tokens": 400},
                "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 1},
                "speed": "fast",
            },
        }
    )

    assert answer == Answer(
        usage=Usage(
            prompt_tokens=2257,
            response_tokens=503,
            cache_read_tokens=2048,
            cache_write_tokens=188,
            cache_write_1h_tokens=100,
            reasoning_tokens=400,
            web_searches=2,
            service_tier="fast",
        ),
        model="claude-opus-4-8",
        choices=1,
        tool_calls=3,
        finish_reasons=("tool_use",),
    )


def test_a_message_without_cache_counters_is_read() -> None:
    usage = {"input_tokens": 3, "output_tokens": 2, "cache_read_input_tokens": None, "speed": "standard"}

    assert read({"content": [], "usage": usage}).usage == Usage(prompt_tokens=3, response_tokens=2)


@pytest.mark.parametrize("usage", [None, {}, {"input_tokens": None}])
def test_no_counters_are_no_usage_rather_than_zero(usage: dict[str, Any] | None) -> None:
    assert read({"model": "m", "content": [], "usage": usage}).usage is None


@pytest.mark.parametrize("tokens", [-1, 2**53, "7", [1]])
def test_an_absurd_counter_makes_the_answer_unreadable(tokens: object) -> None:
    assert read({"model": "m", "usage": {"input_tokens": tokens, "output_tokens": 1}}) == Answer()


def test_an_error_is_an_answer_without_usage() -> None:
    assert read({"type": "error", "error": {"type": "api_error", "message": "m"}}) == Answer()


def test_a_stream_is_counted_by_its_last_counters(stream: StreamReader) -> None:
    events = [
        start(),
        block("text"),
        event({"type": "ping"}),
        delta(text="Hello"),
        event({"type": "content_block_stop", "index": 0}),
        message_delta(output_tokens=15, output_tokens_details={"thinking_tokens": 4}),
    ]

    marks = [stream.feed(one) for one in events]

    assert marks == [StreamMark.NORMAL] * 6
    assert stream.feed(STOP) is StreamMark.TERMINAL
    assert stream.output_chars == 5
    assert stream.answer() == Answer(
        usage=Usage(
            prompt_tokens=2257,
            response_tokens=15,
            cache_read_tokens=2048,
            cache_write_tokens=188,
            cache_write_1h_tokens=100,
            reasoning_tokens=4,
            service_tier="standard",
        ),
        model="claude-sonnet-4-5-20250929",
        choices=1,
        finish_reasons=("end_turn",),
    )


def test_counters_of_several_deltas_are_not_summed(stream: StreamReader) -> None:
    stream.feed(start({"input_tokens": 10, "output_tokens": 1}))
    stream.feed(message_delta(None, output_tokens=5))
    stream.feed(message_delta("pause_turn", output_tokens=9, server_tool_use={"web_search_requests": 1}))
    stream.feed(message_delta("end_turn", output_tokens=12, server_tool_use={"web_search_requests": 3}))

    usage = stream.answer().usage

    assert usage == Usage(prompt_tokens=10, response_tokens=12, web_searches=3)
    assert stream.answer().finish_reasons == ("end_turn",)


def test_a_delta_may_correct_the_prompts_counters(stream: StreamReader) -> None:
    stream.feed(start())
    stream.feed(
        message_delta(
            input_tokens=30, cache_creation_input_tokens=200, cache_read_input_tokens=0, output_tokens=7
        )
    )

    assert stream.answer().usage == Usage(
        prompt_tokens=230,
        response_tokens=7,
        cache_write_tokens=200,
        cache_write_1h_tokens=100,
        service_tier="standard",
    )


def test_a_null_counter_leaves_what_was_known(stream: StreamReader) -> None:
    stream.feed(start())
    stream.feed(message_delta(input_tokens=None, cache_read_input_tokens=None, output_tokens=7))

    usage = stream.answer().usage

    assert usage is not None
    assert (usage.prompt_tokens, usage.cache_read_tokens, usage.response_tokens) == (2257, 2048, 7)


def test_a_cut_stream_keeps_the_prompt_and_estimates_the_response(stream: StreamReader) -> None:
    stream.feed(start())
    stream.feed(delta(text="a" * 30))
    stream.feed(delta(thinking="b" * 5))
    stream.feed(delta(partial_json="{}"))
    stream.feed(delta(signature="c" * 100))

    usage = stream.answer().usage

    assert usage is not None
    assert (usage.prompt_tokens, usage.response_tokens, usage.source) == (2257, 10, "estimated")


def test_an_estimate_is_never_below_what_the_vendor_counted(stream: StreamReader) -> None:
    stream.feed(start({"input_tokens": 10, "output_tokens": 1}))
    stream.feed(message_delta(None, output_tokens=50))
    stream.feed(delta(text="short"))

    assert stream.answer().usage == Usage(prompt_tokens=10, response_tokens=50, source="estimated")


def test_a_stream_that_was_cut_before_it_began_has_no_usage(stream: StreamReader) -> None:
    assert stream.answer() == Answer()


def test_tools_of_every_kind_are_counted(stream: StreamReader) -> None:
    for kind in ("text", "tool_use", "server_tool_use", "web_search_tool_result", "mcp_tool_use"):
        stream.feed(block(kind))

    assert stream.answer().tool_calls == 3


def test_an_error_is_terminal_and_a_failure(stream: StreamReader) -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}

    assert stream.feed(event(error)) is StreamMark.TERMINAL
    assert stream.failed


@given(st.binary(max_size=30) | st.sampled_from([b"", b"[" * 5000, b'{"type": 1}', b'{"usage": []}']))
def test_an_unreadable_event_passes_and_changes_nothing(data: bytes) -> None:
    stream = MESSAGES.stream_reader()

    assert stream.feed(SseEvent(b"", "message_delta", data)) is StreamMark.NORMAL
    assert stream.answer() == Answer()
