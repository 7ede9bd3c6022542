"""Server-sent events as plugins answer them: from a payload, or from a text that is framed already."""

from __future__ import annotations

import re
from typing import Final

from weir_core.vendors.sse import SseEvent, SseSplitter

_FRAMED: Final = (b"data:", b"event:")
_STREAM: Final = (*_FRAMED, b"id:", b"retry:", b":", b"\r", b"\n", b"\xef\xbb\xbf")
_LINE_END: Final = re.compile(rb"\r\n|\r|\n")
_EVENT_END: Final = b"\n\n"
_LINES_OF_A_LONE_PAYLOAD: Final = 2
_NO_EVENT: Final = SseEvent(b"", None, b"")
_COMMENT: Final = SseEvent(b":\n\n", None, b"")
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HEAD: Final = re.compile(rb"(?:event: ?[A-Za-z0-9._-]{1,64}\r?\n)?data: ?")
_PLAIN_END: Final = 2
_CRLF_END: Final = 4


def only_shown(event: SseEvent) -> SseEvent:
    """What is left of an event when its data has been seen and nothing else of it may pass.

    That is its data and its name, where that is a short token as all vendors' are, and not text. An event
    without data becomes an empty comment, which keeps a connection alive. One that has nothing more to it is
    returned as it is: those of vendors have not.
    """
    head = _HEAD.match(event.raw)
    if head is not None:
        beyond = len(event.raw) - head.end() - len(event.data)
        if beyond == _PLAIN_END or (beyond == _CRLF_END and event.raw.endswith(b"\r\n\r\n")):
            return event
    if not event.data:
        return _COMMENT
    name = event.name if event.name is not None and _NAME.fullmatch(event.name) else None
    field = b"" if name is None else b"event: %b\n" % name.encode()
    data = event.data.replace(b"\n", b"\ndata: ")
    return SseEvent(b"%bdata: %b\n\n" % (field, data), name, event.data)


def reframed(event: SseEvent, body: bytes) -> list[SseEvent]:
    """What a plugin's answer to one event stands for.

    An answer that begins with ``data:`` or ``event:`` is server-sent events, any number of them, and is taken
    as it is; no vendor's payload begins so. Anything else is one payload: it takes the place of the event's
    data, whose other fields (``event``, ``id``) stay, and each of its lines becomes a ``data`` line. An empty
    answer is no event at all.

    Raises:
        SseEventTooLargeError: One event of the answer is larger than any may be.
    """
    if not body:
        return []
    if body.startswith(_FRAMED):
        return cut_events(body)
    data = b"\ndata: ".join(_LINE_END.split(body))
    return [SseEvent(b"%bdata: %b\n\n" % (_other_fields(event), data), event.name, body)]


def reframed_whole(body: bytes) -> list[SseEvent]:
    """What a plugin's answer to a whole stream stands for: events, or one payload where it has no framing.

    Raises:
        SseEventTooLargeError: One event of the answer is larger than any may be.
    """
    return cut_events(body) if body.startswith(_STREAM) else reframed(_NO_EVENT, body)


def cut_events(text: bytes) -> list[SseEvent]:
    """The events of a whole text; the last one is completed where its end is missing.

    Raises:
        SseEventTooLargeError: One of them is larger than any may be.
    """
    splitter = SseSplitter()
    events = splitter.feed(text)
    if splitter.rest():
        events += splitter.feed(_EVENT_END)
    return [_ended(event) for event in events]


def _ended(event: SseEvent) -> SseEvent:
    """A CR at the end may be half of a line's end: a reader would wait for what follows it."""
    return SseEvent(event.raw + b"\n", event.name, event.data) if event.raw.endswith(b"\r") else event


def _other_fields(event: SseEvent) -> bytes:
    if event.raw.startswith(b"data:") and event.raw.count(b"\n") == _LINES_OF_A_LONE_PAYLOAD:
        return b""
    lines = [line for line in event.raw.splitlines() if line and not line.startswith(b"data")]
    return b"".join(line + b"\n" for line in lines)
