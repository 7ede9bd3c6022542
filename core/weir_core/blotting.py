"""Keeping secrets out of what others say: plugins and validators quote what they were given."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

MASK: Final = "***"

_LEAST_FOUND_ALONE: Final = 4
_AS_NUMBER: Final = r"(?<![\w.]){}(?!\w|\.\d)"


def blot_out(text: str, secrets: Iterable[Any]) -> str:
    """Return ``text`` without these values, with which a validator or a plugin fills its messages.

    A text in quotes is always found; by itself only when it is long enough not to be a part of other words. A
    number is found where it is a number of its own. True, False and null are no secrets.
    """
    # The longest first: of one that begins like another, the rest must not stay.
    parts = [part for secret in secrets for part in _with_parts(secret)]
    for value in sorted(parts, key=lambda part: len(str(part)), reverse=True):
        if isinstance(value, str):
            text = _without_text(text, value)
        elif isinstance(value, dict | list):
            text = text.replace(repr(value), MASK)
        elif value is not None and not isinstance(value, bool):
            text = re.sub(_AS_NUMBER.format(re.escape(str(value))), MASK, text)
    return text


def _without_text(text: str, secret: str) -> str:
    if len(secret) >= _LEAST_FOUND_ALONE:
        forms = (repr(secret), secret)
    elif secret:
        forms = (repr(secret), f'"{secret}"')
    else:
        return text
    for form in forms:
        text = text.replace(form, MASK)
    return text


def _with_parts(value: Any) -> Iterator[Any]:
    yield value
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _with_parts(part)
