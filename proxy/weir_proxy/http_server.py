"""Accepts a worker's connections, and ends them in order."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Final

from weir_proxy.protocol import ClientDeadlines, GatewayProtocol, Serve

_BACKLOG: Final = 2048
_LOOK_AT_IDLE_EVERY_S: Final = 5.0
_GOODBYE_WITHIN_S: Final = 1.0


class HttpServer:
    """One listener's connections.

    Args:
        serve: Answers each request.
        deadlines: When a client is too slow.
        grace_s: Seconds that requests get to finish once the server is to stop.
        tls: What is spoken; None is plain HTTP.
    """

    def __init__(
        self, serve: Serve, deadlines: ClientDeadlines, *, grace_s: float, tls: ssl.SSLContext | None = None
    ) -> None:
        self._serve = serve
        self._deadlines = deadlines
        self._grace_s = grace_s
        self._tls = tls
        self._connections: set[GatewayProtocol] = set()

    async def run(self, listener: socket.socket, *, stop: asyncio.Event, hurry: asyncio.Event) -> None:
        """Serve until ``stop``; then finish what is being answered, within the grace and until ``hurry``.

        Requests that are not finished by then are cancelled, and waited for.
        """
        loop = asyncio.get_running_loop()
        with_tls = self._tls is not None
        server = await loop.create_server(
            self._connection,
            sock=listener,
            backlog=_BACKLOG,
            ssl=self._tls,
            # Neither a slow handshake nor a client that does not say goodbye may keep a connection.
            ssl_handshake_timeout=self._deadlines.headers_s if with_tls else None,
            ssl_shutdown_timeout=_GOODBYE_WITHIN_S if with_tls else None,
        )
        hurrying = asyncio.create_task(hurry.wait())
        sweeping = asyncio.create_task(self._close_idle())
        try:
            await _first_of(asyncio.create_task(stop.wait()), hurrying)
            server.close()
            for connection in tuple(self._connections):
                connection.stop()
            await self._finish(hurrying)
        finally:
            server.close()
            sweeping.cancel()
            hurrying.cancel()
            await self._cancel_requests()
            for connection in tuple(self._connections):
                connection.abort()

    def _connection(self) -> GatewayProtocol:
        return GatewayProtocol(self._serve, self._deadlines, self._connections)

    async def _finish(self, hurrying: asyncio.Task[bool]) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._grace_s
        while (tasks := self._tasks()) and not hurrying.done() and (left := deadline - loop.time()) > 0:
            await asyncio.wait((*tasks, hurrying), timeout=left, return_when=asyncio.FIRST_COMPLETED)

    async def _cancel_requests(self) -> None:
        tasks = self._tasks()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _tasks(self) -> list[asyncio.Task[None]]:
        return [connection.task for connection in self._connections if connection.task is not None]

    async def _close_idle(self) -> None:
        """One look at all of them now and then is cheaper than a timer for each answer."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_LOOK_AT_IDLE_EVERY_S)
            idle_before = loop.time() - self._deadlines.idle_s
            for connection in tuple(self._connections):
                if connection.idle_since is not None and connection.idle_since < idle_before:
                    connection.stop()


async def _first_of(*tasks: asyncio.Task[bool]) -> None:
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
