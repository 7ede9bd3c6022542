"""Opening a connection: straight to the upstream, or through a forward proxy."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

from weir_proxy.errors import UpstreamUnreachableError
from weir_proxy.upstream.connection import UpstreamConnection
from weir_proxy.upstream.origins import ForwardProxy, Origin

_CONNECT_TIMEOUT_S = 5.0
_MOST_TUNNEL_ANSWER_BYTES = 16 * 1024


async def connect(
    origin: Origin,
    tls: ssl.SSLContext,
    make_connection: Callable[[], UpstreamConnection],
    *,
    timeout_s: float,
) -> UpstreamConnection:
    """Open a connection within 5 seconds, and within ``timeout_s``.

    Raises:
        UpstreamUnreachableError: There is none; nothing of a request was sent.
    """
    try:
        async with asyncio.timeout(min(timeout_s, _CONNECT_TIMEOUT_S)):
            return await _connect(origin, tls, make_connection)
    except ssl.SSLCertVerificationError as error:
        raise UpstreamUnreachableError(
            f"The certificate of the upstream {origin.authority} is not trusted: {error.verify_message}."
        ) from error
    except (OSError, TimeoutError) as error:
        raise UpstreamUnreachableError(
            f"No connection to the upstream {origin.authority} could be made."
        ) from error


async def _connect(
    origin: Origin, tls: ssl.SSLContext, make_connection: Callable[[], UpstreamConnection]
) -> UpstreamConnection:
    loop = asyncio.get_running_loop()
    proxy = origin.proxy
    if proxy is not None and origin.secure:
        tunnel = await _tunnel(origin, proxy)
        connection = make_connection()
        transport = await loop.start_tls(tunnel, connection, tls, server_hostname=origin.host)
        if transport is None:
            raise ConnectionResetError("the proxy closed the tunnel")
        connection.connection_made(transport)
        return connection
    host, port = (origin.host, origin.port) if proxy is None else (proxy.host, proxy.port)
    _, connection = await loop.create_connection(
        make_connection, host, port, ssl=tls if origin.secure else None
    )
    return connection


async def _tunnel(origin: Origin, proxy: ForwardProxy) -> asyncio.Transport:
    """Have the proxy connect us to the origin (RFC 9110, section 9.3.6)."""
    loop = asyncio.get_running_loop()
    transport, answer = await loop.create_connection(_TunnelAnswer, proxy.host, proxy.port)
    target = f"{origin.host}:{origin.port}" if ":" not in origin.host else f"[{origin.host}]:{origin.port}"
    authorization = f"proxy-authorization: {proxy.authorization}\r\n" if proxy.authorization else ""
    transport.write(f"CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n{authorization}\r\n".encode())
    try:
        status = await answer.status
    except BaseException:
        transport.abort()
        raise
    if not 200 <= status < 300:
        transport.abort()
        raise UpstreamUnreachableError(
            f"The proxy {proxy.host} refused a tunnel to {target} with the status {status}."
        )
    return transport


class _TunnelAnswer(asyncio.Protocol):
    """Reads the head of a proxy's answer to CONNECT."""

    def __init__(self) -> None:
        self.status: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._head = b""

    def data_received(self, data: bytes) -> None:
        self._head += data
        if self.status.done():
            return
        if b"\r\n\r\n" in self._head:
            parts = self._head.split(b" ", 2)
            self.status.set_result(int(parts[1][:3]) if len(parts) > 1 and parts[1][:3].isdigit() else 502)
        elif len(self._head) > _MOST_TUNNEL_ANSWER_BYTES:
            self.status.set_exception(ConnectionResetError("the proxy's answer is too large"))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.status.done():
            self.status.set_exception(ConnectionResetError("the proxy closed the connection"))
