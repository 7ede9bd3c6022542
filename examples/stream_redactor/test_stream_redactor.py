from __future__ import annotations

import json
from typing import Any

import pytest
from stream_redactor.plugin import StreamRedactor

from weir_sdk.testing import make_context, make_response, run, stream_through


@pytest.fixture
def plugin() -> StreamRedactor:
    plugin = StreamRedactor()
    run(plugin.initialize, make_context(), {"words": ["secret", "password"]})
    return plugin


def chunk(text: str, index: int = 0) -> dict[str, Any]:
    return {"choices": [{"index": index, "delta": {"content": text}, "finish_reason": None}]}


LAST = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}


def streamed_text(plugin: StreamRedactor, *pieces: str) -> str:
    streamed = run(stream_through, plugin, [*map(chunk, pieces), LAST, b"[DONE]"])
    assert streamed.events[-1] == b"[DONE]"
    deltas = (json.loads(event)["choices"][0]["delta"] for event in streamed.events[:-1])
    return "".join(delta.get("content", "") for delta in deltas)


def test_a_word_in_one_event_is_masked(plugin: StreamRedactor) -> None:
    assert streamed_text(plugin, "The Secret is out.") == "The *** is out."


@pytest.mark.parametrize(
    "pieces", [("the sec", "ret is"), ("the ", *"secret", " is"), ("the s", "ecre", "t is")]
)
def test_a_word_that_is_cut_in_pieces_is_masked(plugin: StreamRedactor, pieces: tuple[str, ...]) -> None:
    assert streamed_text(plugin, *pieces) == "the *** is"


@pytest.mark.parametrize("pieces", [("a sec", "ond"), ("it ends in pass",), ("pas", "s")])
def test_what_only_begins_like_a_word_goes_out_in_the_end(
    plugin: StreamRedactor, pieces: tuple[str, ...]
) -> None:
    assert streamed_text(plugin, *pieces) == "".join(pieces)


def test_the_choices_of_one_stream_are_kept_apart(plugin: StreamRedactor) -> None:
    streamed = run(stream_through, plugin, [chunk("sec", 0), chunk("ret", 1), LAST])
    choices = [json.loads(event)["choices"][0] for event in streamed.events]
    assert [choice["delta"].get("content") for choice in choices] == ["", "ret", "sec"]


def test_an_answer_in_one_piece_is_masked(plugin: StreamRedactor) -> None:
    response = make_response(json={"choices": [{"message": {"content": "A password."}}]})
    run(plugin.on_before_write, make_context(), response)
    assert response.json()["choices"][0]["message"]["content"] == "A ***."


def test_nothing_is_kept_of_a_stream_whose_client_hung_up(plugin: StreamRedactor) -> None:
    run(stream_through, plugin, [chunk("a sec")])
    assert streamed_text(plugin, "ret") == "ret"


@pytest.mark.parametrize("body", [b"", b"not JSON", b'{"choices": [null]}', b'{"usage": {}}'])
def test_anything_else_passes_as_it_is(plugin: StreamRedactor, body: bytes) -> None:
    response = make_response(body=body, is_stream_chunk=True)
    run(plugin.on_before_write, make_context(), response)
    assert response.body == body
