"""A complete answer, before it is put on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from weir_core.usage import Usage

_ENCODER = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """``events`` are whole server-sent events, the last one terminal; ``body`` counts when there are none."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    events: tuple[bytes, ...] = ()
    usage: Usage | None = None

    @property
    def content_type(self) -> str:
        """What the body is."""
        return "text/event-stream; charset=utf-8" if self.events else "application/json"


def encoded(document: Mapping[str, Any]) -> bytes:
    """JSON, compact."""
    return _ENCODER.encode(document)


def data_event(document: Mapping[str, Any]) -> bytes:
    """A server-sent event without a name, as OpenAI's chat sends it."""
    return b"data: " + encoded(document) + b"\n\n"


def named_event(document: Mapping[str, Any]) -> bytes:
    """A server-sent event named by its own ``type``, as Anthropic and OpenAI's Responses send it."""
    return b"event: " + str(document["type"]).encode() + b"\ndata: " + encoded(document) + b"\n\n"
