from __future__ import annotations

from typing import Any

import pytest

from weir_sdk import BodyNotJsonError, Request, Response


def test_a_body_that_was_only_read_stays_byte_for_byte() -> None:
    body = b'{ "temperature": 1.10,  "n": 1 }'
    request = Request(body=body)
    assert request.json()["n"] == 1
    assert request.body is body


def test_a_change_to_the_parsed_body_shows_in_the_bytes() -> None:
    request = Request(body=b'{"model": "gpt-4o"}')
    request.json()["user"] = "ada"
    assert request.body == b'{"model":"gpt-4o","user":"ada"}'


def test_further_changes_show_too() -> None:
    request = Request(body=b'{"messages": []}')
    messages = request.json()["messages"]
    messages.append("a")
    assert request.body == b'{"messages":["a"]}'
    messages.append("b")
    assert request.body == b'{"messages":["a","b"]}'


@pytest.mark.parametrize(("before", "after"), [(1, True), (1, 1.0), (0, False), (True, 1)])
def test_a_change_that_python_calls_equal_is_a_change(before: Any, after: Any) -> None:
    request = Request(body=b'{"stream": %s}' % str(before).lower().encode())
    request.json()["stream"] = after
    assert request.body == b'{"stream":%s}' % str(after).lower().encode()


def test_setting_the_bytes_overrides_the_parsed_body() -> None:
    request = Request(body=b'{"a": 1}')
    request.json()["a"] = 2
    request.body = b'{"b": 3}'
    assert request.body == b'{"b": 3}'
    assert request.json() == {"b": 3}


def test_large_whole_numbers_survive_a_change() -> None:
    request = Request(body=b'{"seed": 123456789012345678901234567890}')
    request.json()["a"] = 1
    assert request.body == b'{"seed":123456789012345678901234567890,"a":1}'


@pytest.mark.parametrize("body", [b"", b"{", b"[DONE]", b"\xff", b"[" * 100_000])
def test_a_body_that_is_not_json_says_so(body: bytes) -> None:
    with pytest.raises(BodyNotJsonError, match="is not JSON"):
        Response(body=body).json()


def test_what_json_cannot_say_is_an_error() -> None:
    request = Request(body=b"{}")
    request.json()["when"] = object()
    with pytest.raises(BodyNotJsonError, match="cannot be written as JSON"):
        _ = request.body


def test_a_copy_of_a_request_is_independent() -> None:
    request = Request(
        method="PUT",
        path="/a",
        headers={"x-a": "1"},
        body=b'{"a": 1}',
        query_string="b=2",
        remote_addr="10.0.0.1:5",
        user_id="ada",
        app_id=7,
        auth_claims={"team": "blue"},
        authenticated=True,
    )
    twin = request.copy()
    twin.headers["x-a"] = "2"
    twin.json()["a"] = 2
    twin.auth_claims["team"] = "red"
    assert twin.body == b'{"a":2}'
    assert (request.headers["x-a"], request.body, request.auth_claims) == ("1", b'{"a": 1}', {"team": "blue"})
    for name in ("method", "path", "query_string", "remote_addr", "user_id", "app_id", "authenticated"):
        assert getattr(twin, name) == getattr(request, name)


def test_a_copy_carries_changes_made_before_it() -> None:
    request = Request(body=b'{"a": 1}')
    request.json()["a"] = 2
    assert request.copy().body == b'{"a":2}'


def test_a_copy_of_a_response_is_independent() -> None:
    response = Response(
        status_code=201, headers={"x-a": "1"}, body=b"{}", is_stream_chunk=True, request_id="r"
    )
    twin = response.copy()
    twin.headers["x-a"] = "2"
    twin.body = b""
    assert (response.headers["x-a"], response.body) == ("1", b"{}")
    assert (twin.status_code, twin.is_stream_chunk, twin.request_id) == (201, True, "r")


def test_neither_shows_its_content_in_a_log() -> None:
    secret = "sk-very-secret"
    request = Request(headers={"Authorization": secret}, body=secret.encode())
    response = Response(headers={"Set-Cookie": secret}, body=secret.encode())
    assert secret not in f"{request!r} {response!r}"
