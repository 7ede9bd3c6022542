import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir_core.errors import InvalidInputError
from weir_core.vendors.body import RequestFields, read_request, with_include_usage, with_model

KEYS = frozenset(
    {
        "model",
        "stream",
        "stream_options",
        "messages",
        "n",
        "best_of",
        "max_tokens",
        "max_completion_tokens",
        "background",
    }
)

TEXTS = st.text('ab "\\/{}:,\n\u00e9\u2028\U0001f600', max_size=6)
NUMBERS = st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(sorted(KEYS)) | TEXTS
SPACES = st.text(" \t\r\n", max_size=2)


@st.composite
def spellings(draw: st.DrawFn, name: str) -> str:
    """A member's name as JSON, with some of its characters escaped."""
    characters = [
        f"\\u{ord(character):04x}" if ord(character) < 0x10000 and draw(st.booleans()) else None
        for character in name
    ]
    plain = [json.dumps(character, ensure_ascii=False)[1:-1] for character in name]
    return '"' + "".join(escaped or kept for escaped, kept in zip(characters, plain, strict=True)) + '"'


@st.composite
def written(draw: st.DrawFn, members: dict[str, Any]) -> bytes:
    """The members as someone might write them: odd spelling, odd space, any order of the dictionary."""
    parts = [
        f"{draw(SPACES)}{draw(spellings(name))}{draw(SPACES)}:{draw(SPACES)}"
        f"{json.dumps(value, ensure_ascii=draw(st.booleans()))}{draw(SPACES)}"
        for name, value in members.items()
    ]
    return f"{draw(SPACES)}{{{','.join(parts)}{draw(SPACES)}}}{draw(SPACES)}".encode()


def read(**members: Any) -> RequestFields:
    return read_request(json.dumps(members).encode(), KEYS)


def problem(body: bytes) -> InvalidInputError:
    with pytest.raises(InvalidInputError) as caught:
        read_request(body, KEYS)
    return caught.value


def test_a_chat_request_says_what_the_gateway_goes_by() -> None:
    fields = read(
        model="gpt-4o",
        messages=[{"role": "user", "content": "hi"}],
        stream=True,
        stream_options={"include_usage": False, "include_obfuscation": False},
        n=3,
        max_tokens=100,
        max_completion_tokens=50,
    )

    assert fields == RequestFields(
        model="gpt-4o", stream=True, output_limit=100, choices=3, include_usage=False
    )


@pytest.mark.parametrize("members", [{}, dict.fromkeys(KEYS)])
def test_what_is_absent_or_null_has_its_default(members: dict[str, None]) -> None:
    assert read(**members) == RequestFields()


def test_best_of_generates_more_answers_than_are_returned() -> None:
    assert read(n=2, best_of=5).choices == 5


def test_members_that_the_operation_does_not_name_are_not_looked_at() -> None:
    body = b'{"model": "m", "max_tokens": "many", "max_tokens": [], "stream": 1}'

    assert read_request(body, frozenset({"model"})) == RequestFields(model="m")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model", 1),
        ("model", ["m"]),
        ("stream", "true"),
        ("stream", 1),
        ("stream_options", []),
        ("stream_options", {"include_usage": 1}),
        ("n", -1),
        ("n", "2"),
        ("n", True),
        ("max_tokens", 1.5),
        ("max_tokens", 2**53),
        ("background", "no"),
        ("background", True),
    ],
)
def test_a_member_of_the_wrong_type_is_refused_by_name(name: str, value: object) -> None:
    error = problem(json.dumps({name: value}).encode())

    assert error.field == name
    assert name in str(error)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"model": "m"',
        b'{"model": "m"} x',
        b'{"model": "m",}',
        b"{'model': 'm'}",
        b'\xef\xbb\xbf{"model": "m"}',
        b'{"other": NaN}',
        b'{"other": "\xff"}',
        b'{"\xff": 1}',
        b'{"other": "\xed\xa0\x80"}',
        b'{"other": "\n"}',
    ],
)
def test_malformed_json_is_refused(body: bytes) -> None:
    assert str(problem(body)).startswith("the request body is not valid JSON: ")


@pytest.mark.parametrize("body", [b"[]", b"null", b'"model"', b"1"])
def test_json_that_is_no_object_is_refused(body: bytes) -> None:
    assert str(problem(body)) == "the request body must be a JSON object"


@pytest.mark.parametrize("name", ["other", "messages"])
def test_nesting_beyond_reason_is_refused(name: str) -> None:
    assert "nested too deeply" in str(problem(f'{{"{name}": {"[" * 100_000}'.encode()))


def test_nesting_beyond_reason_in_a_member_that_is_read_is_refused() -> None:
    deep = "[" * 900 + "]" * 900

    assert problem(f'{{"model": {deep}}}'.encode()).field == "model"


@pytest.mark.parametrize("members", [1025, 1_000_000])
def test_more_members_than_any_call_has_are_refused(members: int) -> None:
    assert "more than 1024 members" in str(problem(b"{" + b'"":0,' * (members - 1) + b'"":0}'))


@given(st.data(), st.dictionaries(NAMES, JSON_VALUES, max_size=4), st.sampled_from(sorted(KEYS)))
def test_a_member_given_twice_is_found_in_whatever_spelling(
    data: st.DataObject, others: dict[str, Any], name: str
) -> None:
    others.pop(name, None)
    first = data.draw(written({name: None}))
    rest = data.draw(written({**others, name: None}))
    body = first.rstrip()[:-1] + b"," + rest.lstrip()[1:]

    error = problem(body)

    assert error.field == name
    assert "twice" in str(error)


@pytest.mark.parametrize("name", ["Model", "MODEL", "\u017ftream", "max_toKens"])
def test_a_name_that_some_servers_take_for_another_is_refused(name: str) -> None:
    error = problem(json.dumps({"model": "m", name: None}).encode())

    assert error.field == name
    assert repr(name.casefold()) in str(error)


@given(st.binary(max_size=60) | st.text('{}[]":,\\ud8modeltrue019.-e \n', max_size=60).map(str.encode))
def test_no_input_raises_anything_but_invalid_input(body: bytes) -> None:
    for function in (
        lambda: read_request(body, KEYS),
        lambda: with_model(body, "m"),
        lambda: with_include_usage(body),
    ):
        try:
            function()
        except InvalidInputError:
            continue
        assert isinstance(json.loads(body), dict)


@given(st.data(), st.dictionaries(NAMES, JSON_VALUES, max_size=5))
def test_what_is_accepted_is_what_another_reader_sees(data: st.DataObject, members: dict[str, Any]) -> None:
    body = data.draw(written(members))
    try:
        fields = read_request(body, KEYS)
    except InvalidInputError:
        return

    assert fields.model == members.get("model")
    assert fields.stream is bool(members.get("stream"))


@given(st.data(), st.dictionaries(NAMES, JSON_VALUES, max_size=5), TEXTS)
def test_naming_a_model_changes_no_other_byte(
    data: st.DataObject, members: dict[str, Any], model: str
) -> None:
    body = data.draw(written(members))

    changed = with_model(body, model)

    assert json.loads(changed) == {**members, "model": model}
    assert_only_one_place_differs(body, changed, json.dumps(model, ensure_ascii=False).encode())


@given(
    st.data(), st.dictionaries(NAMES, JSON_VALUES, max_size=5), st.sampled_from(["absent", None, "object"])
)
def test_asking_for_usage_changes_no_other_byte(
    data: st.DataObject, members: dict[str, Any], options: str | None
) -> None:
    members.pop("stream_options", None)
    wanted: dict[str, Any] = {"include_usage": True}
    if options == "object":
        members["stream_options"] = data.draw(
            st.dictionaries(st.text("abc", max_size=2), JSON_VALUES, max_size=2)
        )
        if data.draw(st.booleans()):
            members["stream_options"]["include_usage"] = data.draw(st.sampled_from([None, False, True]))
        wanted = {**members["stream_options"], "include_usage": True}
    elif options is None:
        members["stream_options"] = None
    body = data.draw(written(members))

    changed = with_include_usage(body)

    assert json.loads(changed) == {**members, "stream_options": wanted}
    assert_only_one_place_differs(body, changed, b"true}" if b"true}" in changed else b"true")


def assert_only_one_place_differs(before: bytes, after: bytes, new: bytes) -> None:
    """Whatever stands before and behind the changed place is as it was, so that nothing was re-encoded."""
    head = next(
        (at for at, (a, b) in enumerate(zip(before, after, strict=False)) if a != b),
        min(len(before), len(after)),
    )
    tail = 0
    while tail < min(len(before), len(after)) - head and before[-1 - tail] == after[-1 - tail]:
        tail += 1
    inserted = after[head : len(after) - tail]
    assert len(inserted) <= len(b'"stream_options":{"include_usage":},') + len(new)


@pytest.mark.parametrize(
    ("body", "changed"),
    [
        (b"{}", b'{"model":"m"}'),
        (b" { } ", b' {"model":"m" } '),
        (b'{"n": 1}', b'{"model":"m","n": 1}'),
        (b'{"n": 1.0e2, "model" : "old" , "x": [ 1 ]}', b'{"n": 1.0e2, "model" : "m" , "x": [ 1 ]}'),
        (b'{"x":{"model":"in"},"mod\\u0065l":null}', b'{"x":{"model":"in"},"mod\\u0065l":"m"}'),
        (b'{"\\"model\\"":"odd"}', b'{"model":"m","\\"model\\"":"odd"}'),
    ],
)
def test_a_model_is_put_in_place_of_another_or_first(body: bytes, changed: bytes) -> None:
    assert with_model(body, "m") == changed


@pytest.mark.parametrize(
    ("body", "changed"),
    [
        (b'{"stream":true}', b'{"stream_options":{"include_usage":true},"stream":true}'),
        (b'{"stream_options": null}', b'{"stream_options": {"include_usage":true}}'),
        (b'{"stream_options": {}}', b'{"stream_options": {"include_usage":true}}'),
        (b'{"stream_options": {"include_usage": false }}', b'{"stream_options": {"include_usage": true }}'),
        (b'{"stream_options": {"x": 1e2}}', b'{"stream_options": {"include_usage":true,"x": 1e2}}'),
    ],
)
def test_usage_is_asked_for_beside_whatever_else_is_asked_for(body: bytes, changed: bytes) -> None:
    assert with_include_usage(body) == changed


def test_stream_options_that_are_no_object_are_refused() -> None:
    with pytest.raises(InvalidInputError, match=re.escape("'stream_options' must be an object")) as caught:
        with_include_usage(b'{"stream_options": [1]}')
    assert caught.value.field == "stream_options"


def test_a_body_of_megabytes_is_read_like_a_small_one() -> None:
    content = "caf\u00e9 " * 400_000
    body = json.dumps(
        {"model": "m", "messages": [{"content": content}], "stream": True}, ensure_ascii=False
    ).encode()

    assert read_request(body, KEYS) == RequestFields(model="m", stream=True)
    assert json.loads(with_model(body, "other"))["model"] == "other"
