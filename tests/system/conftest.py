"""One world for all tests of this folder that neither kill it nor need settings of their own."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from tests.support.puppet import Puppet, puppet
from tests.support.world import World, open_world

from weir_cli.mock_upstream.process import RunningMock, running


@pytest.fixture(scope="session")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningMock]:
    with running(tmp_path_factory.mktemp("upstream") / "calls.jsonl") as mock:
        yield mock


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def world(tmp_path_factory: pytest.TempPathFactory, upstream: RunningMock) -> AsyncIterator[World]:
    data_dir = tmp_path_factory.mktemp("weir") / "data"
    async with open_world(data_dir, upstream, header_timeout="1", body_timeout="1") as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def puppeteered() -> AsyncIterator[Puppet]:
    async with puppet() as upstream:
        yield upstream


@pytest.fixture
def run_dir(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the gateway's processes put their sockets; its path is short enough for that."""
    with tempfile.TemporaryDirectory(prefix="w", dir="/tmp") as directory:
        monkeypatch.setenv("TMPDIR", directory)
        yield Path(directory)
