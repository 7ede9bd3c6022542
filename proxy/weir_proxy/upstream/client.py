"""The pipeline's way to its upstreams: one pool of connections for each origin."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final
from urllib.request import getproxies

from weir_proxy.errors import UpstreamBrokenError, UpstreamTimeoutError
from weir_proxy.upstream.connecting import connect
from weir_proxy.upstream.connection import UpstreamConnection
from weir_proxy.upstream.exchange import Exchange
from weir_proxy.upstream.messages import UpstreamAnswer, UpstreamRequest, UpstreamStream
from weir_proxy.upstream.origins import Origin, find_origin

_SILENCE_S: Final = 60.0
_IDLE_S: Final = 30.0
_LOOK_EVERY_S: Final = 0.25
_MOST_IDLE: Final = 256


class _Pool:
    """The connections to one origin that no exchange uses now; the one used last is taken first."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.idle: list[UpstreamConnection] = []

    def put(self, connection: UpstreamConnection) -> None:
        if len(self.idle) < _MOST_IDLE:
            self.idle.append(connection)
        else:
            connection.close()

    def take(self) -> UpstreamConnection | None:
        while self.idle:
            connection = self.idle.pop()
            if connection.usable:
                return connection
        return None

    def close_older(self, than: float) -> None:
        """Close what has been idle since before ``than``; a peer closes idle connections, too."""
        kept = []
        for connection in self.idle:
            if connection.idle_since >= than and connection.usable:
                kept.append(connection)
            else:
                connection.close()
        self.idle = kept


class Upstream:
    """Connections to every upstream, one per worker. Belongs to the event loop it is made in.

    Args:
        proxies: As ``urllib.request.getproxies()``.
        tls: How upstreams prove who they are.
        silence_s: Seconds without a byte after which an upstream has failed.
        largest_answer: Bytes of a whole answer; more is an error.
    """

    def __init__(
        self,
        *,
        proxies: Mapping[str, str],
        tls: ssl.SSLContext,
        silence_s: float = _SILENCE_S,
        largest_answer: int,
    ) -> None:
        self._proxies = proxies
        self._tls = tls
        self._silence_s = silence_s
        self._largest_answer = largest_answer
        self._loop = asyncio.get_running_loop()
        self._pools: dict[str, _Pool] = {}
        self._running: dict[Exchange, UpstreamConnection] = {}
        self._watch: asyncio.TimerHandle | None = None

    @classmethod
    def open(cls, largest_answer: int) -> Upstream:
        """A client with the system's certificates (``SSL_CERT_FILE`` too) and the environment's proxies."""
        return cls(proxies=getproxies(), tls=ssl.create_default_context(), largest_answer=largest_answer)

    async def close(self) -> None:
        """Cut every connection; exchanges still running fail."""
        if self._watch is not None:
            self._watch.cancel()
        for connection in tuple(self._running.values()):
            connection.fail(UpstreamBrokenError("The gateway closed its connections."))
        for pool in self._pools.values():
            pool.close_older(than=float("inf"))

    async def send(self, request: UpstreamRequest) -> UpstreamAnswer:
        """Exchange one request for its whole answer.

        Raises:
            UpstreamError: Unreachable, too slow, too large, or broken off.
        """
        exchange, connection = await self._begin(request, streamed=False)
        try:
            body = await exchange.whole()
        finally:
            self._end(exchange, connection)
        return UpstreamAnswer(_checked(exchange, request), exchange.headers, body)

    @asynccontextmanager
    async def stream(self, request: UpstreamRequest) -> AsyncIterator[UpstreamStream]:
        """Open an exchange whose answer is read in pieces; leaving it early closes its connection.

        Raises:
            UpstreamError: As ``send``; also while reading.
        """
        exchange, connection = await self._begin(request, streamed=True)
        try:
            await exchange.head()
            yield UpstreamStream(_checked(exchange, request), exchange.headers, lambda: _pieces(exchange))
        finally:
            self._end(exchange, connection)

    async def _begin(
        self, request: UpstreamRequest, *, streamed: bool
    ) -> tuple[Exchange, UpstreamConnection]:
        deadline = self._loop.time() + request.timeout_s
        scheme, _, authority, *path = request.url.split("/", 3)
        pool = self._pool(f"{scheme}//{authority}")
        head = _request_head(pool.origin, path[0] if path else "", request)
        connection = pool.take() or await self._connect(pool, request.timeout_s)
        exchange = Exchange(
            self._loop,
            deadline=deadline,
            largest=self._largest_answer,
            streamed=streamed,
            bodiless=request.method == "HEAD",
        )
        self._running[exchange] = connection
        connection.begin(exchange, head, request.body)
        if self._watch is None:
            self._watch = self._loop.call_later(_LOOK_EVERY_S, self._look)
        return exchange, connection

    def _end(self, exchange: Exchange, connection: UpstreamConnection) -> None:
        del self._running[exchange]
        if not exchange.ended:
            connection.abandon(exchange)

    def _pool(self, base: str) -> _Pool:
        pool = self._pools.get(base)
        if pool is None:
            pool = self._pools[base] = _Pool(find_origin(base, self._proxies))
        return pool

    async def _connect(self, pool: _Pool, timeout_s: float) -> UpstreamConnection:
        def make() -> UpstreamConnection:
            return UpstreamConnection(self._loop, on_free=pool.put)

        return await connect(pool.origin, self._tls, make, timeout_s=timeout_s)

    def _look(self) -> None:
        """One timer for all: fail what is overdue or silent, close what is idle for too long."""
        now = self._loop.time()
        for exchange, connection in tuple(self._running.items()):
            overdue = exchange.deadline <= now
            if not exchange.ended and (overdue or self._is_silent(exchange, now)):
                what = "took too long" if overdue else f"sent nothing for {self._silence_s:g} seconds"
                connection.fail(UpstreamTimeoutError(f"The upstream {what}."))
        for pool in self._pools.values():
            pool.close_older(than=now - _IDLE_S)
        busy = self._running or any(pool.idle for pool in self._pools.values())
        self._watch = self._loop.call_later(_LOOK_EVERY_S, self._look) if busy else None

    def _is_silent(self, exchange: Exchange, now: float) -> bool:
        return not exchange.held_back and exchange.heard_at + self._silence_s <= now


def _request_head(origin: Origin, path: str, request: UpstreamRequest) -> bytes:
    """The request line and headers; a forward proxy on a plain connection is told the whole URL."""
    target, to_proxy = f"/{path}", ""
    if origin.proxy is not None and not origin.secure:
        target = request.url
        if origin.proxy.authorization:
            to_proxy = f"proxy-authorization: {origin.proxy.authorization}\r\n"
    length = ""
    if request.body or request.method not in ("GET", "HEAD", "DELETE"):
        length = f"content-length: {len(request.body)}\r\n"
    return (
        f"{request.method} {target} HTTP/1.1\r\nhost: {origin.authority}\r\n"
        f"{to_proxy}{request.headers}{length}\r\n"
    ).encode("latin-1", "replace")


async def _pieces(exchange: Exchange) -> AsyncIterator[bytes]:
    while (piece := await exchange.read()) is not None:
        yield piece


def _checked(exchange: Exchange, request: UpstreamRequest) -> int:
    if not 200 <= exchange.status < 600:
        origin = "/".join(request.url.split("/", 3)[:3])
        raise UpstreamBrokenError(f"The upstream {origin} answered with the status {exchange.status}.")
    return exchange.status
