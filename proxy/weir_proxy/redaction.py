"""Masks what is sensitive in a recorded body; all else stays, and JSON stays JSON."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from weir_proxy.sensitive import Span, find_sensitive

_MASKS: Final = {"secret": "[redacted secret]", "email": "[redacted email]", "card": "[redacted card]"}

# A run of backslashes and what it escapes is one unit at any depth of JSON inside JSON strings.
_ESCAPE: Final = re.compile(r"\\++(?:u[0-9a-fA-F]{4}|[\s\S])?")
_CONTROLS: Final = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
_UNICODE_ESCAPE: Final = 5

_MEMBER_BEFORE: Final = re.compile(r"\"[ \t\r\n]{0,8}:[ \t\r\n]{0,8}\Z")
_ITEM_BEFORE: Final = re.compile(r"[\[,][ \t\r\n]{0,8}\Z")
_LOOK_BACK: Final = 24
_LITERAL: Final = re.compile(r'"(?:[^"\\\n]|\\.)*+"?')

_STREAM_STARTS: Final = ("data:", "event:", "id:", "retry:", ":", "\ufeff")
_DATA_LINE: Final = re.compile(r"^data:[^\r\n]*", re.MULTILINE)
_INDEX: Final = re.compile(r'"[a-z_]{0,16}index"\s{0,4}:\s{0,4}([0-9]{1,6})')
_DELTA: Final = re.compile(
    r'"(content|text|delta|partial_json|arguments|input|thinking|reasoning|reasoning_content|refusal|transcript)"'
    r'\s{0,4}:\s{0,4}"((?:[^"\\\n]|\\.)*+)"'
)


class _Edit(NamedTuple):
    start: int
    end: int
    text: str


def redact(text: str, upto: int | None = None) -> str:
    """Return the text with every secret, e-mail address and card number replaced by a mask.

    JSON stays JSON: escapes are read through, also those of JSON inside a JSON string, and a number that is
    masked becomes a string (but for the bare items of an array inside a JSON string). In server-sent events
    a text is searched as the client would put it together, so what is spread over several events is found;
    the mask stands in the first of them. Linear in time.

    Args:
        text: The body, or its beginning.
        upto: How many characters of it to return, before masking. What lies behind is only looked at, for the
            end of something that begins before.
    """
    edits = list(_edits(text))
    if not edits and upto is None:
        return text
    return "".join(_rebuilt(text, sorted(edits), len(text) if upto is None else upto))


def _edits(text: str) -> Iterator[_Edit]:
    whole = _View(text, [(0, len(text))])
    literals = _Literals(text)
    for span in find_sensitive(whole.text):
        start, end, quote = _as_json_value(whole, literals, span)
        yield _Edit(start, end, f"{quote}{_MASKS[span.kind]}{quote}")
    if text.startswith(_STREAM_STARTS):
        for pieces in _channels(text):
            view = _View(text, pieces)
            for span in find_sensitive(view.text):
                mask = _MASKS[span.kind]
                for start, end in view.sources(span.start, span.end):
                    yield _Edit(start, end, mask)
                    mask = ""


def _rebuilt(text: str, edits: Iterable[_Edit], upto: int) -> Iterator[str]:
    at = 0
    for start, end, replacement in edits:
        if start >= upto:
            break
        if start >= at:
            yield text[at:start]
            yield replacement
        at = max(at, end)
    yield text[at:upto]


def _as_json_value(view: _View, literals: _Literals, span: Span) -> tuple[int, int, str]:
    """Where a span stands in the source, and the quotes that its mask needs where a JSON number stood."""
    [(start, end), *_] = view.sources(span.start, span.end)
    if not view.text[span.start].isdecimal():
        return start, end, ""
    begin = span.start
    if begin and view.text[begin - 1] == "-":
        begin -= 1
    before = view.text[max(0, begin - _LOOK_BACK) : begin]
    member = _MEMBER_BEFORE.search(before)
    if member is not None:
        quote_at = begin - len(before) + member.start()
        [(quote_start, quote_end)] = view.sources(quote_at, quote_at + 1)
        # Behind an even number of backslashes it is no escape's, but the end of the member's name.
        quote = view.source[quote_start:quote_end] if (quote_end - quote_start) % 2 == 0 else '"'
    elif _ITEM_BEFORE.search(before) is not None:
        quote = '"'
    else:
        return start, end, ""
    if quote == '"' and literals.hold(start):
        return start, end, ""
    return (start - 1 if begin < span.start else start), end, quote


class _View:
    """Some parts of a text as their reader sees them, escapes undone and joined, with the way back."""

    def __init__(self, source: str, pieces: Iterable[tuple[int, int]]) -> None:
        self.source = source
        self._begins: list[int] = []
        self._sources: list[tuple[int, int]] = []
        parts: list[str] = []
        length = 0
        for start, end, seen in _parts(source, pieces):
            self._begins.append(length)
            self._sources.append((start, end))
            parts.append(seen)
            length += len(seen)
        self.text = "".join(parts)

    def sources(self, start: int, end: int) -> list[tuple[int, int]]:
        """The ranges of the source that a range of the view stands for; whole escapes."""
        found: list[tuple[int, int]] = []
        number = bisect_right(self._begins, start) - 1
        while number < len(self._begins) and self._begins[number] < end:
            begin, (first, last) = self._begins[number], self._sources[number]
            seen = (self._begins[number + 1] if number + 1 < len(self._begins) else len(self.text)) - begin
            if seen == last - first:
                first, last = first + max(0, start - begin), first + min(seen, end - begin)
            if found and found[-1][1] == first:
                found[-1] = (found[-1][0], last)
            else:
                found.append((first, last))
            number += 1
        return found


def _parts(source: str, pieces: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int, str]]:
    for start, end in pieces:
        at = start
        for escape in _ESCAPE.finditer(source, start, end):
            if at < escape.start():
                yield at, escape.start(), source[at : escape.start()]
            at = escape.end()
            yield escape.start(), at, _unescaped(escape.group())
        if at < end:
            yield at, end, source[at:end]


def _unescaped(escape: str) -> str:
    bare = escape.lstrip("\\")
    if len(bare) == _UNICODE_ESCAPE:
        return chr(int(bare[1:], 16))
    return _CONTROLS.get(bare, bare) or "\\"


class _Literals:
    """Where a JSON text's string literals are; worked out when it is first asked."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._borders: list[int] | None = None

    def hold(self, position: int) -> bool:
        """Whether the position is inside a literal."""
        if self._borders is None:
            self._borders = [border for found in _LITERAL.finditer(self._source) for border in found.span()]
        return bisect_right(self._borders, position) % 2 == 1


def _channels(text: str) -> Iterator[list[tuple[int, int]]]:
    """The pieces of each text that a stream delivers bit by bit, in order.

    Pieces belong together when they are the same member of their events and these name the same indices.
    """
    channels: defaultdict[tuple[str, int, str], list[tuple[int, int]]] = defaultdict(list)
    for line in _DATA_LINE.finditer(text):
        indices = ",".join(_INDEX.findall(line.group()))
        count: defaultdict[str, int] = defaultdict(int)
        for found in _DELTA.finditer(text, line.start(), line.end()):
            name = found.group(1)
            channels[name, count[name], indices].append(found.span(2))
            count[name] += 1
    for pieces in channels.values():
        if len(pieces) > 1:
            yield pieces
