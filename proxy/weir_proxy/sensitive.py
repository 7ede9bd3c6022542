"""Finds what must not stay in a recorded text: secrets, e-mail addresses, card numbers.

Every search takes time proportional to the text's length, whatever the text: each pattern begins with a
literal or only at the start of a run, and every repetition is bounded or possessive. No match holds a double
quote, so in JSON none reaches beyond its string.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

Kind = Literal["secret", "email", "card"]

_CHAR: Final = "[A-Za-z0-9_-]"
# Enough characters, or fewer with a digit among them: "sk-learn" is no key.
_RANDOM: Final = rf"(?:{_CHAR}{{12,}}|(?=[A-Za-z_-]{{0,11}}[0-9]){_CHAR}{{6,}})"


def _prefixed(prefix: str, rest: str) -> tuple[str, re.Pattern[str]]:
    """A key by its first letters; the search is for those, and what stands before them is looked at after."""
    literal = re.escape(prefix)
    return prefix, re.compile(rf"{literal}(?<![A-Za-z0-9]{literal}){rest}")


_PREFIXED: Final = (
    _prefixed("wk_", _RANDOM),
    _prefixed("wt_", _RANDOM),
    _prefixed("sk-", _RANDOM),
    _prefixed("sk_live_", _RANDOM),
    _prefixed("sk_test_", _RANDOM),
    _prefixed("rk_live_", _RANDOM),
    _prefixed("AIza", f"{_CHAR}{{20,}}"),
    _prefixed("gsk_", f"{_CHAR}{{16,}}"),
    _prefixed("xai-", f"{_CHAR}{{16,}}"),
    _prefixed("hf_", f"{_CHAR}{{16,}}"),
    _prefixed("pplx-", f"{_CHAR}{{16,}}"),
    _prefixed("ghp_", f"{_CHAR}{{16,}}"),
    _prefixed("gho_", f"{_CHAR}{{16,}}"),
    _prefixed("ghs_", f"{_CHAR}{{16,}}"),
    _prefixed("github_pat_", f"{_CHAR}{{16,}}"),
    _prefixed("glpat-", f"{_CHAR}{{16,}}"),
    _prefixed("xoxb-", f"{_CHAR}{{10,}}"),
    _prefixed("xoxp-", f"{_CHAR}{{10,}}"),
    _prefixed("AKIA", "[0-9A-Z]{16}(?![0-9A-Za-z])"),
    _prefixed("ASIA", "[0-9A-Z]{16}(?![0-9A-Za-z])"),
    _prefixed("ya29.", f"{_CHAR}{{16,}}"),
    # A JSON Web Token: three parts in base64url, of which the first two begin with {"
    _prefixed("eyJ", rf"{_CHAR}{{8,}}\.eyJ{_CHAR}{{8,}}\.{_CHAR}*"),
)
_PRIVATE_KEY: Final = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,10}-----"
    r"[^\"]*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,10}-----|(?=\")|\Z)"
)
_CREDENTIAL: Final = r"[A-Za-z0-9._~+/-]"
_BEARER: Final = re.compile(
    r"\bbearer[ \t]{1,8}"
    rf"({_CREDENTIAL}{{16,}}+={{0,2}}|(?=[A-Za-z._~+/-]{{0,15}}[0-9]){_CREDENTIAL}{{8,}}+={{0,2}})",
    re.IGNORECASE,
)
_AUTHORIZATION: Final = re.compile(
    r"\bauthorization[\"']?[ \t]{0,4}[:=][ \t]{0,4}[\"']?(?:bearer|basic|token)[ \t]{1,8}"
    rf"({_CREDENTIAL}++={{0,2}})",
    re.IGNORECASE,
)
_NAMED: Final = re.compile(
    r"(?:api_?-?key|secret_?key|client_?secret|access_?token|refresh_?token|passw(?:or)?d)"
    r"[\"']?[ \t]{0,4}[:=][ \t]{0,4}[\"']?([^\s\"'`,;&{}\[\]()<>\\:=][^\s\"'`,;&{}\[\]()<>\\]{7,}+)",
    re.IGNORECASE,
)
# A search for plain words is far quicker than one that ignores case.
_INTRODUCED: Final = (
    (("bearer",), _BEARER),
    (("authorization",), _AUTHORIZATION),
    (("key", "secret", "access", "refresh", "passw"), _NAMED),
)
_EMAIL: Final = re.compile(r"(?<![\w.+%-])[\w.+%-]++@(?:[\w-]{1,63}\.){1,10}[^\W\d_]{2,63}")

_CARD_RUN: Final = re.compile(
    r"(?<![0-9A-Za-z_])(?<![0-9]\.)[0-9]{3,19}(?![0-9A-Za-z_])"
    r"(?:[ -][0-9]{3,19}(?![0-9A-Za-z_]))*+(?!\.[0-9])"
)
_GROUP: Final = re.compile(r"[0-9]+")
_CARD_DIGITS: Final = (13, 19)
_CARD_GROUPS: Final = 6
_ISSUERS: Final = "23456"
_DOUBLED: Final = str.maketrans("0123456789", "0246813579")


class Span(NamedTuple):
    """A part of a text and what it is."""

    start: int
    end: int
    kind: Kind


def find_sensitive(text: str) -> Iterator[Span]:
    """Every part of the text that must not be recorded; parts may overlap and come in no order."""
    yield from _secrets(text)
    if "@" in text:
        for found in _EMAIL.finditer(text):
            yield Span(found.start(), found.end(), "email")
    yield from _cards(text)


def _secrets(text: str) -> Iterator[Span]:
    for prefix, pattern in _PREFIXED:
        if prefix in text:
            for found in pattern.finditer(text):
                yield Span(found.start(), found.end(), "secret")
    if "PRIVATE KEY" in text:
        for found in _PRIVATE_KEY.finditer(text):
            yield Span(found.start(), found.end(), "secret")
    lowered = text.lower()
    for words, pattern in _INTRODUCED:
        if any(word in lowered for word in words):
            for found in pattern.finditer(text):
                yield Span(found.start(1), found.end(1), "secret")


def _cards(text: str) -> Iterator[Span]:
    """Card numbers in one piece or in groups: of whole groups only, as people and programs write them."""
    shortest, longest = _CARD_DIGITS
    for run in _CARD_RUN.finditer(text):
        if run.end() - run.start() < shortest:
            continue
        groups = [(found.start(), found.end()) for found in _GROUP.finditer(text, run.start(), run.end())]
        first = 0
        while first < len(groups):
            digits = ""
            for last in range(first, min(first + _CARD_GROUPS, len(groups))):
                digits += text[slice(*groups[last])]
                if len(digits) >= shortest and (len(digits) > longest or is_card_number(digits)):
                    break
            if shortest <= len(digits) <= longest and is_card_number(digits):
                yield Span(groups[first][0], groups[last][1], "card")
                first = last
            first += 1


def is_card_number(digits: str) -> bool:
    """Whether the digits begin like a payment card's and their last is the right check digit (Luhn)."""
    if digits[0] not in _ISSUERS:
        return False
    doubled = digits[-2::-2].translate(_DOUBLED)
    return (sum(map(int, digits[::-2])) + sum(map(int, doubled))) % 10 == 0
