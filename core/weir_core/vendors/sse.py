"""Server-sent events (WHATWG HTML, section 9.2), cut from a byte stream without changing a byte of it."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from weir_core.errors import SseEventTooLargeError

MAX_EVENT_BYTES: Final = 8 * 1024 * 1024

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_LF: Final = 0x0A
_TEXT: Final = re.compile(rb"[^\r\n]")
# A line ends with LF, CR LF or CR, and an event with an empty line. A CR at the end of what has arrived may
# be half of a CR LF, so it ends an event only where the line before it ended with a lone CR too.
_EVENT_END: Final = re.compile(rb"\r\r|\n(?:\n|\r\n|\r(?=[^\n]))")
_BYTES_BEFORE_END: Final = 2


class SseEvent(msgspec.Struct, frozen=True, gc=False):
    """One event: its exact bytes with the empty line that ends it, and what they say.

    ``raw`` may begin with further empty lines. ``name`` is None when the event has no ``event`` field;
    ``data`` joins its ``data`` fields with LF and is empty where there is none, as in a comment.
    """

    raw: bytes
    name: str | None
    data: bytes


class SseSplitter:
    """Cuts a stream into events as its chunks arrive.

    The events are the same wherever the chunks were cut, and their raw bytes followed by ``rest()`` are the
    bytes that were fed.

    Args:
        max_event_bytes: The largest event to hold. A generated image is one event of a few megabytes.
    """

    __slots__ = ("_begun", "_held", "_held_bytes", "_max_event_bytes", "_tail")

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_event_bytes = max_event_bytes
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._tail = b""
        self._begun = False

    def feed(self, chunk: bytes) -> list[SseEvent]:
        """Return the events that this chunk completes.

        Raises:
            SseEventTooLargeError: An event is larger than the limit; the stream cannot be read on.
        """
        if not self._held:
            return self._split(chunk)
        # A large event comes in many chunks. Only what is new is searched, lest it cost its square.
        border = self._tail + chunk
        if _EVENT_END.search(border) is None:
            self._hold(chunk, border)
            return []
        data = b"".join((*self._held, chunk))
        self._held.clear()
        self._held_bytes = 0
        return self._split(data)

    def rest(self) -> bytes:
        """The bytes behind the last complete event."""
        return b"".join(self._held)

    def _split(self, data: bytes) -> list[SseEvent]:
        events: list[SseEvent] = []
        find_end, parse = (_find_end, _parse) if b"\r" in data else (_find_plain_end, _parse_plain)
        start = 0
        while start < len(data):
            end = find_end(data, start)
            if end < 0 or end - start > self._max_event_bytes:
                rest = data[start:]
                self._hold(rest, rest)
                break
            raw = data[start:end]
            events.append(parse(raw) if self._begun else self._parse_first(raw))
            start = end
        return events

    def _hold(self, piece: bytes, border: bytes) -> None:
        self._held.append(piece)
        self._held_bytes += len(piece)
        self._tail = border[-_BYTES_BEFORE_END:]
        if self._held_bytes > self._max_event_bytes:
            raise SseEventTooLargeError(self._max_event_bytes)

    def _parse_first(self, raw: bytes) -> SseEvent:
        self._begun = True
        first = _parse(raw.removeprefix(_BYTE_ORDER_MARK))
        return SseEvent(raw, first.name, first.data)


def _find_end(data: bytes, start: int) -> int:
    """Where the event that begins at ``start`` ends, -1 when it does not end here."""
    found = _EVENT_END.search(data, _past_blank_lines(data, start))
    return found.end() if found is not None else -1


def _find_plain_end(data: bytes, start: int) -> int:
    """The same in data without CR."""
    if data[start] == _LF:
        start = _past_blank_lines(data, start)
    end = data.find(b"\n\n", start)
    return end + 2 if end >= 0 else -1


def _past_blank_lines(data: bytes, start: int) -> int:
    text = _TEXT.search(data, start)
    return text.start() if text is not None else len(data)


def _parse_plain(raw: bytes) -> SseEvent:
    """Read an event without CR, quickly where it has the form in which all vendors write theirs."""
    if raw.startswith(b"data: "):
        end = raw.find(b"\n")
        if end == len(raw) - 2:
            return SseEvent(raw, None, raw[6:end])
    elif raw.startswith(b"event: "):
        start = raw.find(b"\n") + 1
        if raw.startswith(b"data: ", start):
            end = raw.find(b"\n", start)
            if end == len(raw) - 2:
                return SseEvent(raw, _name(raw[7 : start - 1]), raw[start + 6 : end])
    return _parse(raw)


def _parse(raw: bytes) -> SseEvent:
    name = b""
    data: list[bytes] = []
    for line in raw.splitlines():
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value
    return SseEvent(raw, _name(name), b"\n".join(data))


def _name(field: bytes) -> str | None:
    return field.decode("utf-8", "replace") or None
