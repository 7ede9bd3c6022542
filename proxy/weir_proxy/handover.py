"""Management requests arrive on the workers' port and are handed to control over its unix socket."""

from __future__ import annotations

import httpx2

from weir_proxy.client import ClientRequest
from weir_proxy.errors import ClientGoneError, RefusalError
from weir_proxy.intake import read_whole
from weir_proxy.plain import problem

_MAX_BODY_BYTES = 1024 * 1024
_TIMEOUT_S = 60.0
_NOT_HANDED_OVER = frozenset(("connection", "keep-alive", "transfer-encoding", "te", "upgrade", "expect"))
_NOT_RETURNED = frozenset(
    ("connection", "keep-alive", "transfer-encoding", "content-length", "date", "server")
)


class NoManagement:
    """Stands where control is on another machine: callers have no way to it through a proxy."""

    async def close(self) -> None:
        """There is nothing to close."""

    async def __call__(self, client: ClientRequest) -> None:
        """Say where to ask instead."""
        detail = "This proxy serves model calls alone. The management API is at weir control."
        await client.answer(*problem(404, detail))


class Handover:
    """The worker's line to control."""

    def __init__(self, control_socket: str) -> None:
        transport = httpx2.AsyncHTTPTransport(uds=control_socket)
        self._client = httpx2.AsyncClient(transport=transport, timeout=_TIMEOUT_S, base_url="http://control")

    async def close(self) -> None:
        """Close the line."""
        await self._client.aclose()

    async def __call__(self, client: ClientRequest) -> None:
        """Pass one request on and its answer back."""
        try:
            body = await read_whole(client, _MAX_BODY_BYTES)
        except ClientGoneError:
            return
        except RefusalError as refusal:
            await client.answer(*problem(refusal.status, refusal.message))
            return
        url = client.raw_path + (f"?{client.query}" if client.query else "")
        headers = [item for item in client.headers().items if item[0] not in _NOT_HANDED_OVER]
        try:
            answer = await self._client.request(client.method, url, headers=headers, content=body)
        except httpx2.HTTPError:
            await client.answer(*problem(503, "The management plane is not available. Try again shortly."))
            return
        lines = [(name.lower(), value) for name, value in answer.headers.multi_items()]
        kept = [item for item in lines if item[0] not in _NOT_RETURNED]
        await client.answer(answer.status_code, kept, answer.content)
