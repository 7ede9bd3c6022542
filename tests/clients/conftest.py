"""One gateway and one mock upstream for all client tests of a module."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from tests.support.gateway import Caller, Gateway, running_gateway
from tests.support.records import Families

from weir_cli.mock_upstream.process import DEFAULT_KEY, RunningMock, running

PLUGINS = Path(__file__).parent.parent / "support" / "plugins"


@dataclass(frozen=True)
class World:
    """A gateway with an OpenAI and an Anthropic LLM, both the mock, and an app that may use both."""

    gateway: Gateway
    upstream: RunningMock
    openai_id: int
    anthropic_id: int
    caller: Caller
    families: Families

    def url(self, slug: str, mode: str = "call") -> str:
        return f"{self.gateway.url}/llm/{mode}/{slug}"


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningMock]:
    with running(tmp_path_factory.mktemp("upstream") / "calls.jsonl") as mock:
        yield mock


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory, upstream: RunningMock) -> AsyncIterator[World]:
    data_dir = tmp_path_factory.mktemp("weir") / "data"
    async with running_gateway(data_dir, plugin_path=PLUGINS) as gateway:
        made = []
        for vendor, slug in (("openai", "gpt"), ("anthropic", "claude")):
            llm = await gateway.create(
                "llms", name=slug, slug=slug, vendor=vendor, api_endpoint=upstream.url, api_key=DEFAULT_KEY
            )
            made.append(llm["id"])
        caller = await gateway.caller(*made, user_id="u-1")
        marker = Families(gateway, f"{gateway.url}/llm/call/gpt/v1/chat/completions", caller.secret)
        yield World(gateway, upstream, made[0], made[1], caller, marker)
