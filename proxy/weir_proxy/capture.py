"""A body as an event carries it: in full, with what is sensitive masked, or not at all."""

from __future__ import annotations

import base64
import codecs
import hashlib
from typing import Final

import msgspec

from weir_core.objects import BodyCapture
from weir_proxy.redaction import redact

_STRICTNESS: Final[dict[BodyCapture, int]] = {"full": 0, "redacted": 1, "none": 2}
_UTF8: Final = codecs.getincrementaldecoder("utf-8")

LOOK_AHEAD: Final = 4096
"""Bytes behind the limit that are still looked at: nothing sensitive is cut in two and half of it kept."""


class CapturedBody(msgspec.Struct, frozen=True):
    """A body as an event carries it; ``encoding`` is ``base64`` where it is not UTF-8."""

    text: str | None
    encoding: str | None = None
    truncated: bool = False
    sha256: str | None = None


NOTHING: Final = CapturedBody(None)


def stricter(one: BodyCapture, other: BodyCapture) -> BodyCapture:
    """Of an LLM's and an app's wish, the one that keeps less."""
    return one if _STRICTNESS[one] >= _STRICTNESS[other] else other


def capture(body: bytes, limit: int, how: BodyCapture = "full", sha256: str | None = None) -> CapturedBody:
    """A body for an event, at most ``limit`` bytes once it is encoded as JSON.

    What had to be cut is marked, and the SHA-256 of the whole, true body is kept beside it. ``none`` keeps
    neither body nor hash. A body that is not UTF-8 cannot be searched: ``redacted`` leaves all of it out,
    marked as cut.

    Args:
        body: All of it, or at least ``limit + LOOK_AHEAD`` bytes of its beginning.
        limit: Bytes.
        how: What to keep.
        sha256: The hash in hexadecimal where ``body`` is only a beginning.
    """
    if not body or how == "none":
        return NOTHING
    if how == "redacted":
        return _redacted(body, limit, sha256)
    # JSON makes no text shorter, so what lies behind the limit is in no event.
    text, encoding = _decoded(body, limit), None
    if text is None:
        text, encoding = base64.b64encode(body[: limit + 3]).decode(), "base64"
    if len(body) <= limit and _fits(text, limit):
        return CapturedBody(text, encoding)
    return CapturedBody(_cut(text, limit), encoding, truncated=True, sha256=sha256 or _hash(body))


def _redacted(body: bytes, limit: int, sha256: str | None) -> CapturedBody:
    text = _decoded(body, limit + LOOK_AHEAD)
    if text is None:
        return CapturedBody(None, truncated=True, sha256=sha256 or _hash(body))
    if sha256 is None and len(body) <= limit + LOOK_AHEAD:
        text = redact(text)
        if _fits(text, limit):
            return CapturedBody(text)
    else:
        text = redact(text, upto=limit)
    return CapturedBody(_cut(text, limit), truncated=True, sha256=sha256 or _hash(body))


def _decoded(body: bytes, most: int) -> str | None:
    """The first ``most`` bytes as text, but for a character that is cut in two; None when it is not UTF-8."""
    try:
        return body.decode() if len(body) <= most else _UTF8().decode(body[:most])
    except UnicodeDecodeError:
        return None


def _hash(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _fits(text: str, limit: int) -> bool:
    # One character can take six bytes as JSON (\u0000), so short texts need no measuring.
    return len(text) * 6 <= limit or _encoded_size(text) <= limit


def _encoded_size(text: str) -> int:
    return len(msgspec.json.encode(text)) - 2


def _cut(text: str, limit: int) -> str:
    """The longest prefix that fits, found by halving; a multiple of four keeps base64 whole."""
    low, high = 0, min(len(text), limit)
    while low < high:
        middle = (low + high + 1) // 2
        if _encoded_size(text[:middle]) <= limit:
            low = middle
        else:
            high = middle - 1
    return text[: low - low % 4]
