"""How much of a body an event keeps."""

from __future__ import annotations

import hashlib
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir_core.objects import BodyCapture
from weir_proxy.capture import LOOK_AHEAD, NOTHING, capture, stricter

MODES: list[BodyCapture] = ["full", "redacted", "none"]


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def test_the_stricter_of_two_wishes_counts() -> None:
    for rank, mode in enumerate(MODES):
        for other_rank, other in enumerate(MODES):
            assert stricter(mode, other) == MODES[max(rank, other_rank)]


def test_none_keeps_neither_the_body_nor_its_hash() -> None:
    assert capture(b"x" * 1000, 10, "none") == NOTHING
    assert capture(b"x" * 1000, 10, "none", sha256(b"whole")) == NOTHING


@given(st.binary(max_size=200), st.integers(0, 100), st.sampled_from(MODES))
def test_no_captured_body_is_larger_than_the_limit_once_encoded(
    body: bytes, limit: int, mode: BodyCapture
) -> None:
    captured = capture(body, limit, mode)
    if captured.text is not None:
        assert len(msgspec.json.encode(captured.text)) - 2 <= limit


@given(st.text(max_size=300), st.integers(0, 200))
def test_a_body_that_is_cut_is_marked_and_keeps_the_hash_of_the_whole(text: str, limit: int) -> None:
    body = text.encode()
    captured = capture(body, limit)
    if captured.truncated:
        assert captured.sha256 == sha256(body)
        assert text.startswith(captured.text or "")
    elif body:
        assert (captured.text, captured.sha256) == (text, None)


def test_a_character_that_the_limit_cuts_in_two_does_not_make_the_body_binary() -> None:
    captured = capture(("ü" * 100).encode(), 33)
    assert captured.encoding is None
    assert captured.text == "ü" * 16


def test_what_is_no_utf8_is_base64_in_full_and_left_out_when_it_must_be_searched() -> None:
    body = b"\xff\xfe alice@example.com"
    assert capture(body, 1000).encoding == "base64"
    redacted = capture(body, 1000, "redacted")
    assert (redacted.text, redacted.truncated, redacted.sha256) == (None, True, sha256(body))


def test_a_redacted_body_is_whole_when_its_masked_form_fits() -> None:
    body = b"write to " + b"a" * 100 + b"@example.com"
    captured = capture(body, 40, "redacted")
    assert (captured.text, captured.truncated) == ("write to [redacted email]", False)


@pytest.mark.parametrize("given_hash", [True, False])
def test_a_redacted_body_is_cut_behind_its_masks_and_keeps_the_true_hash(given_hash: bool) -> None:
    whole = b"x" * 20 + b" alice@example.com " + b"y" * (2 * LOOK_AHEAD)
    body = whole[: 60 + LOOK_AHEAD] if given_hash else whole
    captured = capture(body, 60, "redacted", sha256(whole) if given_hash else None)
    assert captured.truncated
    assert captured.sha256 == sha256(whole)
    assert captured.text is not None
    assert captured.text.startswith("x" * 20 + " [redacted email] yyy")


@pytest.mark.parametrize("limit", range(18, 45))
def test_no_cut_leaves_a_piece_of_what_is_masked(limit: int) -> None:
    whole = b"xxxxx xxxxx xxxxx alice.b@example.com " + b"y" * (2 * LOOK_AHEAD)
    captured = capture(whole, limit, "redacted")
    assert captured.text is not None
    assert "alice" not in captured.text
    assert "exam" not in captured.text


def test_a_redacted_json_body_is_still_json() -> None:
    body = json.dumps({"messages": [{"role": "user", "content": "I am alice@example.com"}]}).encode()
    captured = capture(body, 1000, "redacted")
    assert captured.text is not None
    assert json.loads(captured.text)["messages"][0]["content"] == "I am [redacted email]"
