"""The seam to the HTTP client: the only module that knows pyreqwest."""

from __future__ import annotations

import os
import zlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import (
    BuilderError,
    ConnectError,
    ConnectTimeoutError,
    PyreqwestError,
    RequestTimeoutError,
)
from pyreqwest.request import RequestBuilder
from pyreqwest.response import Response

from weir_proxy.errors import (
    UpstreamBrokenError,
    UpstreamError,
    UpstreamTimeoutError,
    UpstreamUnreachableError,
)

_CONNECT_TIMEOUT = timedelta(seconds=5)
_SILENCE_TIMEOUT = timedelta(seconds=60)
_IO_THREAD = "pyreqwest"
_MAX_ANSWER_BYTES = 64 * 1024 * 1024

Headers = Sequence[tuple[str, str]]


class UpstreamRequest(NamedTuple):
    """What goes out, complete. ``timeout`` bounds the whole exchange."""

    method: str
    url: str
    headers: Headers
    body: bytes
    timeout: timedelta


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


class Upstream:
    """A connection pool to every upstream, one per worker."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @classmethod
    def open(cls) -> Upstream:
        """Build the pool: no decompression, no redirects, bytes as they come."""
        builder = (
            ClientBuilder()
            .connect_timeout(_CONNECT_TIMEOUT)
            .read_timeout(_SILENCE_TIMEOUT)
            .gzip(False)
            .brotli(False)
            .zstd(False)
            .deflate(False)
            .follow_redirects(False)
            .user_agent("weir")
        )
        client = builder.build()
        _let_the_loop_run()
        return cls(client)

    async def close(self) -> None:
        """Close every connection; calls still running fail."""
        await self._client.close()

    async def send(self, request: UpstreamRequest) -> UpstreamAnswer:
        """Exchange one request for its whole answer.

        Raises:
            UpstreamError: Unreachable, too slow, or broken off.
        """
        try:
            answer = await self._build(request).build().send()
            body = (await answer.bytes()).to_bytes()
        except PyreqwestError as error:
            raise _translate(error, request) from error
        return UpstreamAnswer(_checked(answer.status, request), list(answer.headers.items()), body)

    @asynccontextmanager
    async def stream(self, request: UpstreamRequest) -> AsyncIterator[UpstreamStream]:
        """Open an exchange whose answer is read in pieces; leaving it early closes its connection.

        Raises:
            UpstreamError: As ``send``; also while reading.
        """
        exchange = self._build(request).streamed_read_buffer_limit(0).build_streamed()
        try:
            answer = await exchange.__aenter__()
        except PyreqwestError as error:
            raise _translate(error, request) from error
        try:
            status, headers = _checked(answer.status, request), list(answer.headers.items())
            yield UpstreamStream(status, headers, lambda: _chunks(answer, request))
        finally:
            await exchange.__aexit__(None, None, None)

    def _build(self, request: UpstreamRequest) -> RequestBuilder:
        builder = (
            self._client.request(request.method, request.url)
            .headers(request.headers)
            .timeout(request.timeout)
        )
        return builder.body_bytes(request.body) if request.body else builder


def _let_the_loop_run() -> None:
    """Keep the client's I/O thread from taking the processor from the event loop at every request (Linux).

    Woken by the loop's own request, a thread of the normal class runs at once, and the loop pays two switches
    for each request. In the batch class it runs when the loop waits, and then for many requests in one go:
    with both on one core, a fifth less CPU per call. Where there are cores enough it changes nothing.
    """
    if not hasattr(os, "SCHED_BATCH"):
        return
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):
            if (task / "comm").read_text().strip() == _IO_THREAD:
                os.sched_setscheduler(int(task.name), os.SCHED_BATCH, os.sched_param(0))


async def _chunks(answer: Response, request: UpstreamRequest) -> AsyncIterator[bytes]:
    reader = answer.body_reader
    try:
        while (chunk := await reader.read_chunk()) is not None:
            yield chunk.to_bytes()
    except PyreqwestError as error:
        raise _translate(error, request) from error


def _checked(status: int, request: UpstreamRequest) -> int:
    if not 200 <= status < 600:
        raise UpstreamBrokenError(f"The upstream {_origin(request)} answered with the status {status}.")
    return status


def _origin(request: UpstreamRequest) -> str:
    return "/".join(request.url.split("/", 3)[:3])


def _translate(error: PyreqwestError, request: UpstreamRequest) -> UpstreamError:
    origin = _origin(request)
    if isinstance(error, ConnectError | ConnectTimeoutError | BuilderError):
        return UpstreamUnreachableError(f"No connection to the upstream {origin} could be made.")
    if isinstance(error, RequestTimeoutError):
        return UpstreamTimeoutError(f"The upstream {origin} did not answer in time.")
    return UpstreamBrokenError(f"The upstream {origin} broke off before its answer was whole.")


def decoded(body: bytes, encoding: str) -> bytes | None:
    """Undo gzip or deflate for reading usage; None when that cannot be done safely.

    Bounded at 64 MiB, so that a small answer cannot fill the memory.
    """
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "x-gzip", "deflate"):
        return None
    plain = b""
    while body:
        inflater = zlib.decompressobj(wbits=47)
        try:
            plain += inflater.decompress(body, _MAX_ANSWER_BYTES - len(plain) + 1)
        except zlib.error:
            return None
        if not inflater.eof or len(plain) > _MAX_ANSWER_BYTES:
            return None
        body = inflater.unused_data
    return plain
