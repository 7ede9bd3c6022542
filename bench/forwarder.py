"""The reference: the least that a Python process can do to forward a call, on the libraries that Weir uses.

Raw ASGI on uvicorn (uvloop, httptools), pyreqwest to the upstream. It replaces the client's credential, drops
hop-by-hop headers, and forwards bodies and chunks as they come. It checks nothing, records nothing, and knows
one upstream. Prints one JSON line when it listens; stops when its standard input ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import sys
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import uvicorn
from pyreqwest.client import Client, ClientBuilder
from pyreqwest.response import Response

_Send = Callable[[dict[str, Any]], Awaitable[None]]
_NOT_FORWARDED = frozenset(
    (b"host", b"connection", b"keep-alive", b"transfer-encoding", b"content-length", b"authorization", b"te")
)
_NOT_RETURNED = frozenset(("connection", "keep-alive", "transfer-encoding"))
_STREAM = b'"stream":true'


class Forwarder:
    """An ASGI application that sends every request to ``origin``, with ``key``."""

    def __init__(self, client: Client, origin: str, key: str) -> None:
        self._client = client
        self._origin = origin
        self._authorization = ("authorization", f"Bearer {key}")

    async def __call__(
        self, scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: _Send
    ) -> None:
        message = await receive()
        body = message["body"]
        while message["more_body"]:
            message = await receive()
            body += message["body"]
        headers = [
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in scope["headers"]
            if name not in _NOT_FORWARDED
        ]
        headers.append(self._authorization)
        url = self._origin + scope["path"]
        request = self._client.request(scope["method"], url).headers(headers).body_bytes(body)
        if _STREAM in body:
            async with request.streamed_read_buffer_limit(0).build_streamed() as answer:
                await _return_stream(answer, send)
        else:
            await _return_whole(await request.build().send(), send)


async def _return_whole(answer: Response, send: _Send) -> None:
    body = (await answer.bytes()).to_bytes()
    await send({"type": "http.response.start", "status": answer.status, "headers": _headers(answer)})
    await send({"type": "http.response.body", "body": body})


async def _return_stream(answer: Response, send: _Send) -> None:
    await send({"type": "http.response.start", "status": answer.status, "headers": _headers(answer)})
    read = answer.body_reader.read_chunk
    while (chunk := await read()) is not None:
        await send({"type": "http.response.body", "body": chunk.to_bytes(), "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def _headers(answer: Response) -> Iterable[tuple[bytes, bytes]]:
    return [
        (name.encode("latin-1"), value.encode("latin-1"))
        for name, value in answer.headers.items()
        if name not in _NOT_RETURNED
    ]


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), self._stdin_readable)
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        print(json.dumps({"address": f"{host}:{port}"}), flush=True)

    def _stdin_readable(self) -> None:
        if not os.read(sys.stdin.fileno(), 4096):
            asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
            self.should_exit = True


async def _serve(origin: str, key: str) -> None:
    builder = ClientBuilder().gzip(False).brotli(False).zstd(False).deflate(False).follow_redirects(False)
    async with builder.build() as client:
        app: Any = Forwarder(client, origin, key)
        config = uvicorn.Config(
            app,
            port=0,
            http="httptools",
            lifespan="off",
            ws="none",
            access_log=False,
            log_level="error",
            server_header=False,
            date_header=False,
            timeout_graceful_shutdown=1,
        )
        await _Server(config).serve()


def main() -> None:
    """``python -m bench.forwarder <upstream origin> <key>``."""
    origin, key = sys.argv[1:]
    loop_factory = uvicorn.Config("", loop="uvloop").get_loop_factory()
    with contextlib.suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(_serve(origin, key))


if __name__ == "__main__":
    main()
