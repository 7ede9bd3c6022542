from __future__ import annotations

import pytest
from response_modifier.plugin import ResponseModifier

from weir_sdk.testing import make_context, make_response, run


@pytest.fixture
def plugin() -> ResponseModifier:
    plugin = ResponseModifier()
    run(plugin.initialize, make_context(), {"closing_line": "Yours, Weir"})
    return plugin


def test_every_answer_says_who_processed_it(plugin: ResponseModifier) -> None:
    response = make_response()
    run(plugin.on_before_write_headers, make_context(), response)
    assert response.headers["X-Processed-By"] == "response-modifier"


def test_the_text_gets_a_closing_line(plugin: ResponseModifier) -> None:
    response = make_response(json=a_completion("Hello."))
    run(plugin.on_before_write, make_context(), response)
    assert response.json()["choices"][0]["message"]["content"] == "Hello.\n\nYours, Weir"


def test_a_tool_call_stays_as_it_is(plugin: ResponseModifier) -> None:
    body = b'{ "object": "chat.completion", "choices": [{"message": {"content": null, "tool_calls": []}}] }'
    response = make_response(body=body)
    run(plugin.on_before_write, make_context(), response)
    assert response.body == body


@pytest.mark.parametrize("body", [b"[DONE]", b'{"choices":[{"delta":{"content":"Hel"}}]}'])
def test_a_stream_passes_as_it_is(plugin: ResponseModifier, body: bytes) -> None:
    response = make_response(body=body, is_stream_chunk=True)
    run(plugin.on_before_write, make_context(), response)
    assert response.body == body


@pytest.mark.parametrize("body", [b"", b"upstream is away", b'{"error": {"message": "no"}}', b"[]"])
def test_anything_else_stays_as_it_is(plugin: ResponseModifier, body: bytes) -> None:
    response = make_response(status_code=502, body=body)
    run(plugin.on_before_write, make_context(), response)
    assert response.body == body


def a_completion(text: str) -> dict[str, object]:
    return {"object": "chat.completion", "choices": [{"message": {"role": "assistant", "content": text}}]}
