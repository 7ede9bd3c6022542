"""What is exchanged with an upstream."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import NamedTuple

Headers = Sequence[tuple[str, str]]


class UpstreamRequest(NamedTuple):
    """What goes out. ``timeout_s`` bounds the whole exchange.

    ``headers`` are header lines, each ended by CRLF; Host and Content-Length are added.
    """

    method: str
    url: str
    headers: str
    body: bytes
    timeout_s: float


class UpstreamAnswer(NamedTuple):
    """A whole answer: header names in lower case, the body as it came, still encoded if it was."""

    status: int
    headers: Headers
    body: bytes


class UpstreamStream(NamedTuple):
    """An answer whose body comes in pieces; header names in lower case."""

    status: int
    headers: Headers
    read: Callable[[], AsyncIterator[bytes]]
