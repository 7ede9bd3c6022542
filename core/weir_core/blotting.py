"""Keeping secrets out of what others say: plugins and validators quote what they were given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

MASK: Final = "***"

_LEAST_FOUND_ALONE: Final = 4


def blot_out(text: str, secrets: Iterable[Any]) -> str:
    """Return ``text`` without these values, with which a validator or a plugin fills its messages.

    A value in quotes is always found; by itself only when it is long enough not to be a part of other words.
    """
    for value in (part for secret in secrets for part in _with_parts(secret)):
        text = text.replace(repr(value), MASK)
        plain = str(value)
        if not isinstance(value, dict | list) and len(plain) >= _LEAST_FOUND_ALONE:
            text = text.replace(plain, MASK)
    return text


def _with_parts(value: Any) -> Iterator[Any]:
    yield value
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _with_parts(part)
