"""One world for all client tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from tests.support.world import World, open_world

from weir_cli.mock_upstream.process import RunningMock, running


@pytest.fixture(scope="session")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningMock]:
    with running(tmp_path_factory.mktemp("upstream") / "calls.jsonl") as mock:
        yield mock


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def world(tmp_path_factory: pytest.TempPathFactory, upstream: RunningMock) -> AsyncIterator[World]:
    async with open_world(tmp_path_factory.mktemp("weir") / "data", upstream) as opened:
        yield opened
