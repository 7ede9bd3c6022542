"""Small answers that belong to no vendor: health, problems, and what is not there."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import msgspec

from weir_core.ids import new_id
from weir_proxy.asgi import Send
from weir_proxy.headers import encode_headers

_RETRY_AFTER = (("retry-after", "1"),)


async def send_json(
    send: Send,
    status: int,
    document: Any,
    content_type: str = "application/json",
    headers: tuple[tuple[str, str], ...] = (),
) -> None:
    """Send one JSON document."""
    await send_bytes(send, status, msgspec.json.encode(document), content_type, headers)


async def send_problem(send: Send, status: int, detail: str) -> None:
    """Send an RFC 9457 problem."""
    document = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    await send_json(
        send,
        status,
        document,
        "application/problem+json",
        _RETRY_AFTER if status == HTTPStatus.SERVICE_UNAVAILABLE else (),
    )


async def send_bytes(
    send: Send, status: int, body: bytes, content_type: str, headers: tuple[tuple[str, str], ...] = ()
) -> None:
    """Send a whole body."""
    complete = [("content-type", content_type), ("content-length", str(len(body))), *headers]
    if all(name != "x-request-id" for name, _ in headers):
        complete.append(("x-request-id", new_id()))
    await send({"type": "http.response.start", "status": status, "headers": encode_headers(complete)})
    await send({"type": "http.response.body", "body": body})
