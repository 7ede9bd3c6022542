"""Management requests arrive on the workers' port and are handed to control over its unix socket."""

from __future__ import annotations

import httpx2

from weir_proxy.asgi import Receive, Scope, Send
from weir_proxy.errors import ClientGoneError, RefusalError
from weir_proxy.headers import encode_headers
from weir_proxy.plain import send_problem

_MAX_BODY_BYTES = 1024 * 1024
_TIMEOUT_S = 60.0
_NOT_HANDED_OVER = frozenset(
    (b"connection", b"keep-alive", b"transfer-encoding", b"te", b"upgrade", b"expect")
)
_NOT_RETURNED = frozenset(("connection", "keep-alive", "transfer-encoding", "date", "server"))


class Handover:
    """The worker's line to control."""

    def __init__(self, control_socket: str) -> None:
        transport = httpx2.AsyncHTTPTransport(uds=control_socket)
        self._client = httpx2.AsyncClient(transport=transport, timeout=_TIMEOUT_S, base_url="http://control")

    async def close(self) -> None:
        """Close the line."""
        await self._client.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on and its answer back."""
        try:
            body = await _read(scope, receive)
        except ClientGoneError:
            return
        except RefusalError as refusal:
            await send_problem(send, refusal.status, refusal.message)
            return
        query = scope["query_string"].decode("latin-1")
        url = scope["raw_path"].decode("ascii") + (f"?{query}" if query else "")
        headers = [item for item in scope["headers"] if item[0] not in _NOT_HANDED_OVER]
        try:
            answer = await self._client.request(scope["method"], url, headers=headers, content=body)
        except httpx2.HTTPError:
            await send_problem(send, 503, "The management plane is not available. Try again shortly.")
            return
        kept = [item for item in answer.headers.multi_items() if item[0].lower() not in _NOT_RETURNED]
        await send(
            {"type": "http.response.start", "status": answer.status_code, "headers": encode_headers(kept)}
        )
        await send({"type": "http.response.body", "body": answer.content})


async def _read(scope: Scope, receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError("the client hung up while sending its request body")
        body += message.get("body", b"")
        if len(body) > _MAX_BODY_BYTES:
            raise RefusalError(413, "request_too_large", f"The body is larger than {_MAX_BODY_BYTES} bytes.")
        if scope["weir.request"].body_overdue:
            raise RefusalError(408, "request_timeout", "The request body came too slowly. Send it again.")
        if not message.get("more_body", False):
            return bytes(body)
