"""One mock upstream for all tests of this folder that do not kill it, and the vendors' own clients on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2
import pytest
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI

from weir_cli.mock_upstream.process import DEFAULT_KEY, RunningMock, running


@pytest.fixture(scope="session")
def mock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningMock]:
    with running(tmp_path_factory.mktemp("mock") / "calls.jsonl") as mock:
        yield mock


@pytest.fixture
async def openai(mock: RunningMock) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{mock.url}/v1", api_key=DEFAULT_KEY, max_retries=0) as client:
        yield client


@pytest.fixture
async def anthropic(mock: RunningMock) -> AsyncIterator[AsyncAnthropic]:
    async with AsyncAnthropic(base_url=mock.url, api_key=DEFAULT_KEY, max_retries=0) as client:
        yield client


@pytest.fixture
async def http(mock: RunningMock) -> AsyncIterator[httpx2.AsyncClient]:
    headers = {"authorization": f"Bearer {DEFAULT_KEY}"}
    async with httpx2.AsyncClient(base_url=mock.url, headers=headers) as client:
        yield client


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "calls.jsonl"
