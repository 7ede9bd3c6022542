"""What a body may be before any resource looks at it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.control.conftest import Api, refusal

APP = {"name": "Support bot"}


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/x-www-form-urlencoded",
        "text/plain",
        "multipart/form-data",
        "",
        "rubbish",
    ],
)
async def test_a_json_object_is_json_whatever_its_content_type(admin: Api, content_type: str) -> None:
    answer = await admin(
        "POST", "/apps", content=json.dumps(APP).encode(), headers={"content-type": content_type}
    )
    assert answer.status_code == 201, answer.text


async def test_a_json_object_needs_no_content_type_at_all(admin: Api) -> None:
    answer = await admin("POST", "/apps", content=json.dumps(APP).encode())
    assert answer.status_code == 201


@refusal
@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"name": "a"} more',
        b"name=a",
        b"\xff\xfe{}",
        b"\xef\xbb\xbf{}",
        b'{"name": "\xff"}',
        b'{"name": NaN}',
        b'{"name": Infinity}',
        b'{"name": ' + b"9" * 5000 + b"}",
        b'{"metadata": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"metadata": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
    ],
)
async def test_what_is_not_json_is_400(refusing: Api, body: bytes) -> None:
    problem = await refusing.problem(400, "POST", "/apps", content=body)
    assert problem["code"] == "malformed_body"


@refusal
@pytest.mark.parametrize(
    ("body", "key"),
    [
        (b'{"name": "a", "name": "b"}', "name"),
        (b'{"name": "a", "n\\u0061me": "b"}', "name"),
        (b'{"name": "a", "metadata": {"x": [{"y": 1, "y": 1}]}}', "y"),
        (b'{"name": "a", "\\ud800": 1, "\\ud800": 2}', "?"),
    ],
)
async def test_a_key_that_stands_twice_is_400_and_named(refusing: Api, body: bytes, key: str) -> None:
    problem = await refusing.problem(400, "POST", "/apps", content=body)
    assert [(error["field"], error["code"]) for error in problem["errors"]] == [(key, "duplicate_key")]


@refusal
@pytest.mark.parametrize(
    ("value", "field"),
    [
        ({"name": "a\0b"}, "name"),
        ({"name": "a", "metadata": {"x": ["fine", "a\0"]}}, "metadata.x[1]"),
        ({"name": "a", "metadata": {"a\0": 1}}, "metadata"),
        ({"name": "a", "metadata": {"x": "\ud83d"}}, "metadata.x"),
        ({"name": "a", "metadata": {"x": 2**63}}, "metadata.x"),
        ({"name": "a", "metadata": {"x": -(2**63) - 1}}, "metadata.x"),
        ({"name": "a", "monthly_budget": 10**400}, "monthly_budget"),
    ],
)
async def test_what_could_not_be_stored_faithfully_is_422_with_its_place(
    refusing: Api, value: Any, field: str
) -> None:
    errors = await refusing.errors("POST", "/apps", content=json.dumps(value).encode())
    assert errors == {field: "invalid"}


@refusal
async def test_a_number_beyond_a_double_is_422(refusing: Api) -> None:
    errors = await refusing.errors("POST", "/apps", content=b'{"name": "a", "metadata": {"x": 1e999}}')
    assert errors == {"metadata.x": "invalid"}


async def test_more_than_32_levels_are_422(admin: Api) -> None:
    nested: Any = 1
    for _ in range(32):
        nested = [nested]
    errors = await admin.errors("POST", "/apps", {"name": "a", "metadata": {"x": nested}})
    assert list(errors.values()) == ["invalid"]
    await admin.data("POST", "/apps", {"name": "a", "metadata": {"x": nested[0][0]}})


async def test_the_largest_integers_and_every_character_survive(admin: Api) -> None:
    metadata = {"low": -(2**63), "high": 2**63 - 1, "text": "\u0001 \u2028 \U0001f600 \ufffe", "f": 0.1}
    app = await admin.data("POST", "/apps", {"name": "a", "metadata": metadata})
    assert (await admin.data("GET", f"/apps/{app['id']}"))["metadata"] == metadata


@refusal
@pytest.mark.parametrize("body", [b"[]", b"1", b'"text"', b"null", b"true"])
async def test_what_is_json_but_no_object_is_422(refusing: Api, body: bytes) -> None:
    assert await refusing.errors("POST", "/apps", content=body) == {"": "wrong_type"}


@refusal
async def test_a_missing_body_is_422(refusing: Api) -> None:
    assert await refusing.errors("POST", "/apps") == {"": "required"}


async def test_a_body_of_a_mebibyte_is_read_and_one_byte_more_is_413(admin: Api) -> None:
    frame = b'{"name": "a", "metadata": {"x": "%s"}}'
    largest = frame % (b"x" * (1024 * 1024 - len(frame) + 2))
    assert len(largest) == 1024 * 1024
    assert (await admin("POST", "/apps", content=largest)).status_code == 201
    problem = await admin.problem(413, "POST", "/apps", content=largest + b" ")
    assert problem["code"] == "body_too_large"


@refusal
async def test_no_more_than_twenty_errors_are_listed(refusing: Api) -> None:
    problem = await refusing.problem(422, "POST", "/apps", {"name": "a", "metadata": {"x": ["\0"] * 1000}})
    assert len(problem["errors"]) == 20


@refusal
async def test_the_value_of_a_wrong_field_is_never_repeated(refusing: Api) -> None:
    wrong = {"name": "x", "vendor": "openai", "api_endpoint": "https://a.example", "api_key": "sk with-space"}
    assert "with-space" not in (await refusing("POST", "/llms", wrong)).text
