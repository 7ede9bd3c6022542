import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir_core.usage import Answer, Usage
from weir_core.vendors import StreamMark, StreamReader, get_vendor
from weir_core.vendors.sse import SseEvent

OPENAI = get_vendor("openai")

FULL_USAGE = {
    "prompt_tokens": 2006,
    "completion_tokens": 300,
    "total_tokens": 2306,
    "prompt_tokens_details": {"cached_tokens": 1920, "cache_write_tokens": 40, "audio_tokens": 6},
    "completion_tokens_details": {
        "reasoning_tokens": 192,
        "audio_tokens": 8,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    },
}
FULL = Usage(
    prompt_tokens=2006,
    response_tokens=300,
    cache_read_tokens=1920,
    cache_write_tokens=40,
    reasoning_tokens=192,
    audio_prompt_tokens=6,
    audio_response_tokens=8,
)


def read(path: str, answer: Any) -> Answer:
    operation = OPENAI.match("POST", path)
    assert operation is not None
    return operation.read_answer(json.dumps(answer).encode())


def reader(path: str) -> StreamReader:
    operation = OPENAI.match("POST", path)
    assert operation is not None
    return operation.stream_reader()


def event(content: Any, name: str | None = None) -> SseEvent:
    data = content.encode() if isinstance(content, str) else json.dumps(content).encode()
    return SseEvent(b"data: " + data + b"\n\n", name, data)


def chunk(*choices: dict[str, Any], **members: Any) -> SseEvent:
    return event(
        {"id": "c", "object": "chat.completion.chunk", "model": "gpt-4o-2024-08-06", "choices": choices}
        | members
    )


def said(text: str, index: int = 0) -> dict[str, Any]:
    return {"index": index, "delta": {"content": text}, "finish_reason": None}


def finished(reason: str, index: int = 0) -> dict[str, Any]:
    return {"index": index, "delta": {}, "finish_reason": reason}


DONE = event("[DONE]")


class TestChatCompletions:
    def test_a_whole_answer_says_what_it_consumed(self) -> None:
        answer = read(
            "/v1/chat/completions",
            {
                "id": "chatcmpl-1",
                "object": "chat.completion",
                "model": "gpt-5-2025-08-07",
                "choices": [
                    {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"},
                    {
                        "index": 1,
                        "message": {
                            "role": "assistant",
                            "content": None,
                            "tool_calls": [
                                {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                                {"id": "b", "type": "custom", "custom": {"name": "g", "input": ""}},
                            ],
                        },
                        "finish_reason": "tool_calls",
                    },
                ],
                "usage": FULL_USAGE,
                "service_tier": "flex",
            },
        )

        assert answer == Answer(
            usage=Usage(
                prompt_tokens=2006,
                response_tokens=300,
                cache_read_tokens=1920,
                cache_write_tokens=40,
                reasoning_tokens=192,
                audio_prompt_tokens=6,
                audio_response_tokens=8,
                service_tier="flex",
            ),
            model="gpt-5-2025-08-07",
            choices=2,
            tool_calls=2,
            finish_reasons=("stop", "tool_calls"),
        )

    @pytest.mark.parametrize(
        "details",
        [
            {},
            {"prompt_tokens_details": None, "completion_tokens_details": None},
            {"prompt_tokens_details": {"cached_tokens": None}, "completion_tokens_details": {}},
        ],
    )
    def test_details_may_be_missing(self, details: dict[str, Any]) -> None:
        usage = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12, **details}

        assert read("/chat/completions", {"usage": usage}).usage == Usage(prompt_tokens=7, response_tokens=5)

    def test_counters_that_a_server_writes_as_fractions_are_read(self) -> None:
        usage = {"prompt_tokens": 7.0, "completion_tokens": 5.0}

        assert read("/chat/completions", {"usage": usage}).usage == Usage(prompt_tokens=7, response_tokens=5)

    @pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": None, "total_tokens": 3}])
    def test_no_counters_are_no_usage_rather_than_zero(self, usage: dict[str, Any] | None) -> None:
        answer = read("/chat/completions", {"model": "m", "choices": [], "usage": usage})

        assert answer == Answer(model="m")

    @pytest.mark.parametrize("tokens", [-1, 2**53, "many", [1], 1.5])
    def test_an_absurd_counter_makes_the_answer_unreadable(self, tokens: object) -> None:
        assert (
            read("/chat/completions", {"usage": {"prompt_tokens": tokens, "completion_tokens": 1}})
            == Answer()
        )

    def test_an_error_is_an_answer_without_usage(self) -> None:
        assert read("/chat/completions", {"error": {"message": "no", "type": "x"}}) == Answer()


class TestChatStreams:
    def test_the_extra_usage_chunk_is_marked_and_done_is_terminal(self) -> None:
        stream = reader("/v1/chat/completions")
        events = [
            chunk({"index": 0, "delta": {"role": "assistant", "content": ""}}, usage=None),
            chunk(said("Hel"), usage=None),
            chunk(said("lo"), usage=None),
            chunk(finished("stop"), usage=None, service_tier="default"),
            chunk(usage=FULL_USAGE),
            DONE,
        ]

        marks = [stream.feed(one) for one in events]

        assert marks == [StreamMark.NORMAL] * 4 + [StreamMark.USAGE_ONLY, StreamMark.TERMINAL]
        assert stream.output_chars == 5
        assert not stream.failed
        answer = stream.answer()
        assert answer.usage is not None
        assert answer.usage.service_tier == "default"
        assert (answer.model, answer.choices, answer.finish_reasons) == ("gpt-4o-2024-08-06", 1, ("stop",))

    def test_a_usage_chunk_whose_choices_are_null_is_one_too(self) -> None:
        stream = reader("/chat/completions")

        assert stream.feed(event({"choices": None, "usage": FULL_USAGE})) is StreamMark.USAGE_ONLY
        assert stream.answer().usage == FULL

    def test_a_final_usage_chunk_with_choices_passes_and_keeps_the_cached_tokens(self) -> None:
        stream = reader("/chat/completions")

        assert stream.feed(chunk(finished("stop"), usage=FULL_USAGE)) is StreamMark.NORMAL
        assert stream.answer().usage == FULL

    def test_counters_that_come_with_every_chunk_are_not_summed(self) -> None:
        stream = reader("/chat/completions")
        for tokens in (1, 2, 3):
            stream.feed(chunk(said("x"), usage={"prompt_tokens": 10, "completion_tokens": tokens}))

        assert stream.answer().usage == Usage(prompt_tokens=10, response_tokens=3)

    def test_an_empty_chunk_without_usage_passes(self) -> None:
        stream = reader("/chat/completions")

        assert stream.feed(chunk(prompt_filter_results=[{}])) is StreamMark.NORMAL

    def test_a_cut_stream_has_no_usage_but_its_text(self) -> None:
        stream = reader("/chat/completions")
        stream.feed(chunk(said("Hello, ")))
        stream.feed(chunk(said("world")))

        assert stream.answer().usage is None
        assert stream.answer().finish_reasons == ()
        assert stream.output_chars == 12

    def test_all_kinds_of_generated_text_count(self) -> None:
        stream = reader("/chat/completions")
        deltas: list[dict[str, Any]] = [
            {"reasoning_content": "abc"},
            {"reasoning": "de"},
            {"refusal": "f"},
            {"content": [{"type": "thinking"}]},
            {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}}]},
            {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]},
            {"tool_calls": [{"index": 1, "id": "b", "function": {"name": "g", "arguments": "[]"}}]},
        ]
        for delta in deltas:
            stream.feed(chunk({"index": 0, "delta": delta}))

        assert stream.output_chars == 10
        assert stream.answer().tool_calls == 2

    def test_choices_are_counted_and_their_ends_kept_in_order(self) -> None:
        stream = reader("/chat/completions")
        for choice in (said("a", 1), said("b", 0), finished("length", 1), finished("stop", 0), said("", 0)):
            stream.feed(chunk(choice))

        assert (stream.answer().choices, stream.answer().finish_reasons) == (2, ("stop", "length"))

    def test_an_error_in_the_stream_is_terminal_and_a_failure(self) -> None:
        stream = reader("/chat/completions")

        assert stream.feed(event({"error": {"message": "overloaded"}})) is StreamMark.TERMINAL
        assert stream.failed

    def test_a_null_error_is_none(self) -> None:
        stream = reader("/chat/completions")

        assert stream.feed(chunk(said("a"), error=None)) is StreamMark.NORMAL
        assert not stream.failed

    @given(st.binary(max_size=30) | st.sampled_from([b"", b"[" * 5000, b'{"choices": 5}', b'{"usage": []}']))
    def test_an_unreadable_event_passes_and_changes_nothing(self, data: bytes) -> None:
        stream = reader("/chat/completions")
        stream.feed(chunk(usage=FULL_USAGE))

        if not data.startswith(b"[DONE]"):
            assert stream.feed(SseEvent(b"", None, data)) is StreamMark.NORMAL
            assert stream.answer().usage == FULL


class TestCompletionsAndEmbeddings:
    def test_a_completion_is_read(self) -> None:
        answer = read(
            "/v1/completions",
            {
                "model": "davinci-002",
                "choices": [{"text": "a", "index": 0, "finish_reason": "length", "logprobs": None}],
                "usage": {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12},
            },
        )

        assert answer == Answer(
            usage=Usage(prompt_tokens=5, response_tokens=7),
            model="davinci-002",
            choices=1,
            finish_reasons=("length",),
        )

    def test_a_stream_of_a_completion_is_read(self) -> None:
        stream = reader("/v1/completions")
        stream.feed(chunk({"text": "abc", "index": 0, "finish_reason": None}))
        stream.feed(chunk({"text": "de", "index": 0, "finish_reason": "stop"}))

        assert stream.feed(chunk(usage=FULL_USAGE)) is StreamMark.USAGE_ONLY
        assert stream.feed(DONE) is StreamMark.TERMINAL
        assert (stream.output_chars, stream.answer().finish_reasons) == (5, ("stop",))

    def test_embeddings_have_a_prompt_only(self) -> None:
        answer = read(
            "/v1/embeddings",
            {
                "object": "list",
                "data": [{"object": "embedding", "index": 0, "embedding": [0.1, -0.2]}],
                "model": "text-embedding-3-small",
                "usage": {"prompt_tokens": 8, "total_tokens": 8},
            },
        )

        assert answer == Answer(usage=Usage(prompt_tokens=8), model="text-embedding-3-small")


RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "status": "completed",
    "model": "gpt-5-2025-08-07",
    "service_tier": "priority",
    "incomplete_details": None,
    "output": [
        {"type": "reasoning", "summary": []},
        {"type": "web_search_call", "action": {"type": "search", "query": "q"}},
        {"type": "web_search_call", "action": {"type": "open_page", "url": "u"}},
        {"type": "web_search_call"},
        {"type": "file_search_call", "queries": []},
        {"type": "function_call", "name": "f", "arguments": "{}"},
        {"type": "message", "content": [{"type": "output_text", "text": "Hi"}]},
    ],
    "usage": {
        "input_tokens": 328,
        "input_tokens_details": {"cached_tokens": 128, "cache_write_tokens": 64},
        "output_tokens": 52,
        "output_tokens_details": {"reasoning_tokens": 32},
        "total_tokens": 380,
    },
}
RESPONSE_ANSWER = Answer(
    usage=Usage(
        prompt_tokens=328,
        response_tokens=52,
        cache_read_tokens=128,
        cache_write_tokens=64,
        reasoning_tokens=32,
        web_searches=2,
        file_searches=1,
        service_tier="priority",
    ),
    model="gpt-5-2025-08-07",
    choices=1,
    tool_calls=5,
    finish_reasons=("completed",),
)


class TestResponses:
    def test_a_whole_response_says_what_it_consumed(self) -> None:
        assert read("/v1/responses", RESPONSE) == RESPONSE_ANSWER

    @pytest.mark.parametrize("usage", [None, {}, {"input_tokens": None}])
    def test_no_counters_are_no_usage_rather_than_zero(self, usage: dict[str, Any] | None) -> None:
        assert read("/responses", {**RESPONSE, "usage": usage}).usage is None

    def test_details_may_be_missing(self) -> None:
        answer = read("/responses", {"usage": {"input_tokens": 3, "output_tokens": 2}})

        assert answer.usage == Usage(prompt_tokens=3, response_tokens=2)

    def test_an_incomplete_response_says_why(self) -> None:
        response = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}

        assert read("/responses", response).finish_reasons == ("max_output_tokens",)

    def test_a_response_that_goes_on_has_not_finished(self) -> None:
        assert read("/responses", {"status": "queued", "output": [], "usage": None}).finish_reasons == ()

    @pytest.mark.parametrize("status", ["completed", "incomplete", "failed"])
    def test_a_stream_ends_with_the_whole_response(self, status: str) -> None:
        stream = reader("/v1/responses")
        started = {"status": "in_progress", "model": "gpt-5", "output": [], "usage": None}
        events = [
            {"type": "response.created", "response": started},
            {"type": "response.output_text.delta", "delta": "Hel"},
            {"type": "response.function_call_arguments.delta", "delta": "{}"},
            {"type": "response.output_item.done", "item": {"type": "message"}},
        ]

        marks = [stream.feed(event(one, one["type"])) for one in events]
        before = stream.answer()
        last = stream.feed(event({"type": f"response.{status}", "response": {**RESPONSE, "status": status}}))

        assert marks == [StreamMark.NORMAL] * 4
        assert before == Answer(model="gpt-5")
        assert last is StreamMark.TERMINAL
        assert stream.failed is (status == "failed")
        assert stream.answer().usage == RESPONSE_ANSWER.usage
        assert stream.output_chars == 5

    @pytest.mark.parametrize(
        "error",
        [
            {"type": "error", "code": "server_error", "message": "m", "param": None, "sequence_number": 1},
            {"type": "error", "sequence_number": 2, "error": {"code": "too_many_requests"}},
        ],
    )
    def test_an_error_is_terminal_and_a_failure(self, error: dict[str, Any]) -> None:
        stream = reader("/responses")

        assert stream.feed(event(error, "error")) is StreamMark.TERMINAL
        assert stream.failed

    def test_a_server_may_end_the_stream_as_the_other_api_does(self) -> None:
        assert reader("/responses").feed(DONE) is StreamMark.TERMINAL

    def test_sound_is_not_text(self) -> None:
        stream = reader("/responses")
        stream.feed(event({"type": "response.audio.delta", "delta": "UklGRg=="}))

        assert stream.output_chars == 0

    @given(st.binary(max_size=30) | st.sampled_from([b"", b"[" * 5000, b'{"type": 1}', b'{"delta": []}']))
    def test_an_unreadable_event_passes_and_changes_nothing(self, data: bytes) -> None:
        stream = reader("/responses")

        if not data.startswith(b"[DONE]"):
            assert stream.feed(SseEvent(b"", None, data)) is StreamMark.NORMAL
            assert stream.answer() == Answer()


def test_what_is_never_streamed_has_a_reader_that_passes_everything() -> None:
    stream = reader("/v1/embeddings")

    assert stream.feed(DONE) is StreamMark.NORMAL
    assert (stream.answer(), stream.output_chars, stream.failed) == (Answer(), 0, False)
