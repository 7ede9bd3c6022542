"""Schemathesis lets its generators loose on the running API; whatever they send, the document must hold."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
import uvicorn
from tests.control.conftest import ADMIN_TOKEN, PlayedProber, open_engine

from weir_control.outlets import FileOutlet
from weir_control.publisher import Publisher
from weir_control.service import ControlService
from weir_control.store.store import Store
from weir_control.store.tokens import ensure_admin_token
from weir_core.clock import SystemClock
from weir_core.secrets import KeyRing
from weir_streams.config_feed import FileConfigFeed

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
    "allow_header_conformance",
    "ignored_auth",
)


class Server(threading.Thread):
    """The whole control plane on a port of its own, in a loop of its own."""

    def __init__(self, database_url: str, directory: Path, keyring: KeyRing) -> None:
        super().__init__()
        self._database_url = database_url
        self._directory = directory
        self._keyring = keyring
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.server: uvicorn.Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        store = Store(open_engine(self._database_url), self._keyring, SystemClock())
        await ensure_admin_token(store, ADMIN_TOKEN)
        feed = FileConfigFeed(self._directory, self._keyring, structlog.get_logger())
        service = ControlService(store, Publisher(store, FileOutlet(feed)), PlayedProber(), "test")
        await service.start()
        self.server = uvicorn.Server(uvicorn.Config(service.app, log_level="error", lifespan="off"))
        await self.server.serve(sockets=[self.listener])
        await service.stop()
        await store.engine.dispose()


@pytest.fixture
def server(database_url: str, tmp_path: Path, keyring: KeyRing) -> Iterator[Server]:
    running = Server(database_url, tmp_path / "config", keyring)
    running.start()
    yield running
    assert running.server is not None
    running.server.should_exit = True
    running.join()


def test_nothing_that_schemathesis_makes_up_breaks_the_document(server: Server, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json"]
    options = {
        "--header": f"Authorization: Bearer {ADMIN_TOKEN}",
        "--checks": ",".join(CHECKS),
        "--phases": "coverage,fuzzing",
        "--max-examples": "4",
        "--seed": "20260801",
        "--max-time": "12",
        "--wait-for-schema": "20",
    }
    pairs = [part for pair in options.items() for part in pair]
    ran = subprocess.run(
        [*command, *pairs, "--no-shrink", "--no-color"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]
