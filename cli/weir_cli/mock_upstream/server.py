"""The mock upstream's process: one uvicorn server on one socket, announced when it listens."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from weir_cli.asgi import IDLE_S
from weir_cli.mock_upstream.app import TRANSPORT, Keys, MockUpstream
from weir_cli.mock_upstream.behaviour import Behaviour
from weir_cli.mock_upstream.ledger import Ledger
from weir_core.clock import SystemClock
from weir_core.ids import new_id


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """Where to listen, what to note where, and how to behave at first. Port 0 picks a free one."""

    host: str
    port: int
    uds: str | None
    log: Path
    keys: Keys
    behaviour: Behaviour
    stop_with_stdin: bool


def serve(settings: ServerSettings, announce: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT, or the end of stdin where so set; ``announce`` gets the URL."""
    with closing(Ledger(settings.log)) as ledger:
        app: Any = MockUpstream(
            behaviour=settings.behaviour,
            keys=settings.keys,
            ledger=ledger,
            clock=SystemClock(),
            new_serial=lambda: new_id().replace("-", ""),
        )
        config = uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            uds=settings.uds,
            http=_Protocol,
            loop="uvloop",
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_keep_alive=IDLE_S,
            timeout_graceful_shutdown=1,
        )
        _Server(config, settings, announce).run()


class _Protocol(HttpToolsProtocol):
    """Lends the application its connection, which ASGI has no means to close."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {TRANSPORT: self.transport}  # type: ignore[dict-item]


class _Server(uvicorn.Server):
    def __init__(
        self, config: uvicorn.Config, settings: ServerSettings, announce: Callable[[str], None]
    ) -> None:
        super().__init__(config)
        self._settings = settings
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._settings.stop_with_stdin:
            asyncio.get_running_loop().add_reader(sys.stdin.fileno(), self._stdin_readable)
        self._announce(self._url())

    def _url(self) -> str:
        if self._settings.uds is not None:
            return f"unix:{self._settings.uds}"
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def _stdin_readable(self) -> None:
        if not os.read(sys.stdin.fileno(), 4096):
            asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
            self.should_exit = True
