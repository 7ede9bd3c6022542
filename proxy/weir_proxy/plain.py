"""Small answers that belong to no vendor: health, problems, and what is not there."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, NamedTuple

import msgspec

from weir_core.ids import new_id


class PlainAnswer(NamedTuple):
    """A whole answer; Content-Length is added when it is sent."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def as_last_response(self) -> bytes:
        """The whole response as bytes, for a connection that is closed behind it."""
        lines = [
            f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}",
            *(f"{name}: {value}" for name, value in self.headers),
            f"content-length: {len(self.body)}",
            "connection: close",
        ]
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + self.body


def plain_answer(
    status: int, body: bytes, content_type: str, headers: tuple[tuple[str, str], ...] = ()
) -> PlainAnswer:
    """A body with its type, under a request id of its own unless ``headers`` have one."""
    if all(name != "x-request-id" for name, _ in headers):
        headers = (*headers, ("x-request-id", new_id()))
    return PlainAnswer(status, (("content-type", content_type), *headers), body)


def document(status: int, content: Any) -> PlainAnswer:
    """One JSON document."""
    return plain_answer(status, msgspec.json.encode(content), "application/json")


def problem(status: int, detail: str) -> PlainAnswer:
    """An RFC 9457 problem; a 503 says when to try again."""
    content = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    retry = (("retry-after", "1"),) if status == HTTPStatus.SERVICE_UNAVAILABLE else ()
    return plain_answer(status, msgspec.json.encode(content), "application/problem+json", retry)
