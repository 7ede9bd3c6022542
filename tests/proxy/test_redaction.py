"""Masking keeps the form of what it masks in, and lets nothing through that is spread or escaped."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir_proxy.redaction import redact

SENSITIVE = {
    "sk-abcdef0123456789abcdef": "[redacted secret]",
    "wk_0123456789abcdef_Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6": "[redacted secret]",
    "alice.b@example.com": "[redacted email]",
    "4111 1111 1111 1111": "[redacted card]",
    "5555555555554444": "[redacted card]",
    "-----BEGIN PRIVATE KEY-----\nMIIE+a/b\n-----END PRIVATE KEY-----": "[redacted secret]",
}
HOSTILE = [
    "a" * 50,
    "a@",
    "a.",
    "a@a.",
    "sk-",
    "sk-a",
    "444 ",
    "4" * 19 + " ",
    "1-",
    "eyJaaaaaaaa.",
    "-----BEGIN PRIVATE KEY-----",
    "-----BEGIN PRIVATE KEY-----x-----END ",
    "bearer ",
    "Bearer aaaaaaaa",
    "authorization: ",
    "password: ",
    "passwordapi_key",
    "\\",
    '\\"',
    "\\u0040",
]
plain = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
something = st.sampled_from(sorted(SENSITIVE))
texts = st.lists(plain | something, max_size=4).map(" ".join)
json_values = st.recursive(
    texts | st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


def chat_stream(pieces: list[str], *, ensure_ascii: bool = True) -> str:
    """A stream as OpenAI writes it."""
    chunks = [
        {"id": "c-1", "choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": None}]}
        for piece in pieces
    ]
    lines = [f"data: {json.dumps(chunk, ensure_ascii=ensure_ascii)}\n\n" for chunk in chunks]
    return "".join([*lines, "data: [DONE]\n\n"])


def content(stream: str) -> str:
    """What its client puts together."""
    datas = [line.removeprefix("data: ") for line in stream.split("\n\n") if line]
    assert datas[-1] == "[DONE]"
    return "".join(json.loads(data)["choices"][0]["delta"]["content"] for data in datas[:-1])


@pytest.mark.parametrize(("sensitive", "mask"), SENSITIVE.items())
def test_plain_text_keeps_everything_around_what_is_masked(sensitive: str, mask: str) -> None:
    assert redact(f"before {sensitive} after") == f"before {mask} after"


@given(st.text())
def test_a_text_with_nothing_sensitive_stays_as_it_is(text: str) -> None:
    masked = redact(text)
    assert masked == text or "[redacted " in masked


@given(json_values, st.booleans())
def test_json_stays_json_and_keeps_its_structure(value: Any, ensure_ascii: bool) -> None:
    masked = redact(json.dumps(value, ensure_ascii=ensure_ascii))
    assert not any(sensitive in str(json.loads(masked)) for sensitive in SENSITIVE)


names = texts.filter(lambda name: not name.endswith("\\"))


@given(st.dictionaries(names, texts | st.none() | st.sampled_from([4111111111111111, 5, 0.5]), max_size=4))
def test_a_tool_calls_arguments_stay_json_inside_their_json_string(arguments: dict[str, Any]) -> None:
    outer = json.loads(redact(json.dumps({"arguments": json.dumps(arguments)})))
    assert not any(sensitive in str(json.loads(outer["arguments"])) for sensitive in SENSITIVE)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('{"card": 4111111111111111}', '{"card": "[redacted card]"}'),
        ('{"cards":[-4111111111111111,1]}', '{"cards":["[redacted card]",1]}'),
        ('{"a": "[4111111111111111, 1]"}', '{"a": "[[redacted card], 1]"}'),
        ('{"a": "{\\"b\\": 4111111111111111}"}', '{"a": "{\\"b\\": \\"[redacted card]\\"}"}'),
        ('{"password": 1234567890}', '{"password": "[redacted secret]"}'),
        ('{"a": ": 4111111111111111"}', '{"a": ": [redacted card]"}'),
        ('{"\\\\": 4111111111111111}', '{"\\\\": "[redacted card]"}'),
        ('{"password: ":4111111111111111}', '{"password: ":"[redacted card]"}'),
    ],
)
def test_a_masked_number_becomes_a_json_string(before: str, after: str) -> None:
    assert redact(before) == after


def test_escapes_hide_nothing() -> None:
    document = (
        '{"a": "alice\\u0040example.com", "b": "bearer abc\\/def0123456789", "c": "x\\nsk-abcdef0123456789"}'
    )
    masked = redact(document)
    assert json.loads(masked) == {
        "a": "[redacted email]",
        "b": "bearer [redacted secret]",
        "c": "x\n[redacted secret]",
    }


@given(something, st.data())
def test_what_is_spread_over_the_events_of_a_stream_is_found(sensitive: str, data: st.DataObject) -> None:
    text = f"It is {sensitive} indeed"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    masked = redact(chat_stream(pieces))
    assert content(masked) == f"It is {SENSITIVE[sensitive]} indeed"


@given(st.lists(texts, max_size=5), st.booleans())
def test_a_stream_stays_a_stream_of_json(pieces: list[str], ensure_ascii: bool) -> None:
    stream = chat_stream(pieces, ensure_ascii=ensure_ascii)
    if not re.search("[\r\v\f\x1c-\x1e\x85\u2028\u2029]", stream):
        assert not any(sensitive in content(redact(stream)) for sensitive in SENSITIVE)


def test_texts_of_different_choices_are_not_taken_for_one() -> None:
    chunks = [
        {"choices": [{"index": number % 2, "delta": {"content": piece}}]}
        for number, piece in enumerate(["alice@", "bob@", "example.com", "home"])
    ]
    stream = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks)
    masked = redact(stream)
    assert "alice" not in masked
    assert "example.com" not in masked
    assert '"bob@"' in masked
    assert '"home"' in masked


def test_anthropics_events_and_tool_arguments_are_put_together_too() -> None:
    def delta(index: int, **fields: str) -> str:
        event = {"type": "content_block_delta", "index": index, "delta": fields}
        return f"event: content_block_delta\ndata: {json.dumps(event)}\n\n"

    stream = (
        delta(0, type="text_delta", text="call 4111 11")
        + delta(0, type="text_delta", text="11 1111 1111 now")
        + delta(1, type="input_json_delta", partial_json='{"to": "ali')
        + delta(1, type="input_json_delta", partial_json='ce@example.org"}')
    )
    masked = redact(stream)
    assert '"call [redacted card]"' in masked
    assert '" now"' in masked
    assert json.dumps('{"to": "[redacted email]') in masked
    assert json.dumps('"}') in masked


def test_only_the_beginning_is_returned_and_nothing_sensitive_is_cut_in_two() -> None:
    text = "x" * 10 + " alice@example.com and more"
    assert redact(text, upto=13) == "x" * 10 + " [redacted email]"
    assert redact(text, upto=11) == "x" * 10 + " "
    assert redact("nothing here", upto=7) == "nothing"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("unit", HOSTILE)
def test_a_hostile_body_is_worked_off_in_linear_time(unit: str) -> None:
    text = unit * (256 * 1024 // len(unit))
    # Anything that took the square of the length would not be done within the time limit.
    assert redact(text)
    assert redact(chat_stream([text]))
