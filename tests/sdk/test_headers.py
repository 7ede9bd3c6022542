from __future__ import annotations

import pytest

from weir_sdk import Headers
from weir_sdk.headers import canonical_name


@pytest.mark.parametrize(
    ("given", "canonical"),
    [
        ("x-api-key", "X-Api-Key"),
        ("CONTENT-TYPE", "Content-Type"),
        ("X-App-ID", "X-App-Id"),
        ("dnt", "Dnt"),
        ("x--double", "X--Double"),
        ("no header", "no header"),
        ("", ""),
    ],
)
def test_names_take_the_form_that_go_gives_them(given: str, canonical: str) -> None:
    assert canonical_name(given) == canonical


def test_names_are_found_in_any_case() -> None:
    headers = Headers({"content-type": "text/plain"})
    assert headers["Content-Type"] == headers["CONTENT-TYPE"] == headers.get("content-type") == "text/plain"
    assert "content-TYPE" in headers
    assert 5 not in headers


def test_iterating_yields_canonical_names() -> None:
    assert list(Headers({"x-a": "1", "X-B": "2"}).items()) == [("X-A", "1"), ("X-B", "2")]


def test_of_a_repeated_header_the_first_value_counts() -> None:
    assert Headers.from_pairs([("accept", "a"), ("Accept", "b")]) == {"Accept": "a"}


def test_setting_overwrites_whatever_the_case() -> None:
    headers = Headers({"x-a": "1"})
    headers["X-A"] = "2"
    headers.update({"x-A": "3"}, x="4")
    headers |= {"X-b": "5"}
    assert headers == {"X-A": "3", "X": "4", "X-B": "5"}


def test_removing_works_in_any_case() -> None:
    headers = Headers({"x-a": "1", "x-b": "2"})
    del headers["X-A"]
    assert headers.pop("X-b") == "2"
    assert headers.pop("x-c", None) is None
    assert not headers


def test_a_missing_header_is_a_key_error_or_the_default() -> None:
    headers = Headers()
    with pytest.raises(KeyError):
        headers["x-a"]
    with pytest.raises(KeyError):
        headers.pop("x-a")
    assert headers.get("x-a") is None
    assert headers.get("x-a", "") == ""
    assert headers.setdefault("x-a", "1") == "1"
    assert headers == {"X-A": "1"}


def test_a_copy_is_independent() -> None:
    headers = Headers({"x-a": "1"})
    copied = headers.copy()
    copied["x-a"] = "2"
    assert isinstance(copied, Headers)
    assert headers["x-a"] == "1"
