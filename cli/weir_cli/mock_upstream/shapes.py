"""Oddities of form that are the same for every vendor, applied to a finished reply."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from weir_cli.mock_upstream.behaviour import Behaviour
from weir_cli.mock_upstream.reply import Reply

_GZIP_WINDOW: Final = 31
_PIECE_BYTES: Final = 64


def misshapen(reply: Reply, behaviour: Behaviour, error_event: bytes) -> Reply:
    """The reply with its text made odd as the behaviour says; ``error_event`` is the vendor's own."""
    if "no_terminal" in behaviour.shape:
        reply = replace(reply, events=reply.events[:-1])
    if "error_event" in behaviour.shape and reply.events:
        reply = replace(reply, events=(*reply.events[: len(reply.events) // 2], error_event))
    if "invalid_json" in behaviour.shape:
        reply = replace(reply, body=reply.body[:-1], events=tuple(_one_broken(reply.events)))
    if "crlf" in behaviour.shape:
        reply = replace(reply, events=tuple(event.replace(b"\n", b"\r\n") for event in reply.events))
    return reply


def pieces(reply: Reply, behaviour: Behaviour) -> Iterator[bytes]:
    """The body as it is written, piece by piece; compressed pieces can each be read on arrival."""
    parts: Iterable[bytes] = reply.events or (reply.body,)
    if not reply.events and "chunked" in behaviour.shape:
        parts = _cut(parts, _PIECE_BYTES)
    if "gzip" in behaviour.shape:
        parts = _compressed(parts)
    return iter(parts) if behaviour.split_bytes is None else _cut(parts, behaviour.split_bytes)


def _one_broken(events: tuple[bytes, ...]) -> Iterator[bytes]:
    for number, event in enumerate(events):
        yield event.replace(b"}\n\n", b"\n\n") if number == len(events) // 2 else event


def _compressed(parts: Iterable[bytes]) -> Iterator[bytes]:
    compressor = zlib.compressobj(wbits=_GZIP_WINDOW)
    for part in parts:
        yield compressor.compress(part) + compressor.flush(zlib.Z_SYNC_FLUSH)
    yield compressor.flush(zlib.Z_FINISH)


def _cut(parts: Iterable[bytes], size: int) -> Iterator[bytes]:
    for part in parts:
        for start in range(0, len(part), size):
            yield part[start : start + size]
