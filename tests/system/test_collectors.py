"""Collectors under a whole gateway: a sink that is dead for the whole run, and a process that keeps dying."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.support.gateway import Gateway, eventually, running_gateway
from tests.support.records import KINDS
from tests.support.side_by_side import Window, side_by_side
from tests.support.sums import counted_upstream, summary
from tests.support.world import World, open_world

from weir_cli.mock_upstream.process import DEFAULT_KEY, running

pytestmark = pytest.mark.timeout(180)

PLUGINS = Path(__file__).parent.parent / "support" / "plugins"
CALLS = 25
PRICES = {"gpt-4o-mini": {"input": "0.15", "output": "0.6", "cache_read": "0.075", "reasoning": "0.6"}}
# Somebody who waits for a collector is many times slower; a busy machine may make any one comparison wrong.
MOST = 2.0
ROUNDS = 3
BODY = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}


def taken(path: Path, kind: str) -> Counter[str]:
    """The event ids of a kind that a sink has."""
    lines = path.read_text().splitlines() if path.exists() else []
    return Counter(event_id for name, event_id in map(str.split, lines) if name == kind)


async def add_llm(gateway: Gateway, upstream: str) -> dict[str, Any]:
    return await gateway.create(
        "llms", name="gpt", slug="gpt", vendor="openai", api_endpoint=upstream, api_key=DEFAULT_KEY
    )


async def add_sink(gateway: Gateway, file: Path, *, start_s: float = 0.0, **options: Any) -> None:
    """A sink that takes so long to start; ``options`` are those of its collector."""
    plugin = await gateway.create(
        "plugins",
        name=file.name,
        slug=file.name,
        command="python://weir_sink_plugins:Sink",
        hook_types=["data_collection"],
        config={"file": str(file), "start_s": start_s},
        collector=options,
    )
    await gateway.hosted(plugin["id"])


async def call(gateway: Gateway, secret: str, count: int) -> None:
    """Make so many calls; each must be answered."""
    url = f"{gateway.url}/llm/call/gpt/v1/chat/completions"
    async with httpx2.AsyncClient(headers={"authorization": f"Bearer {secret}"}, timeout=20) as client:
        for _ in range(count):
            assert (await client.post(url, json=BODY)).status_code == 200


async def test_a_sink_dead_for_a_whole_run_is_noticed_by_nobody_and_has_everything_after_a_redrive(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    dead, living, watching = (tmp_path / name for name in ("dead", "living", "watching"))
    Path(f"{dead}.away").touch()
    async with AsyncExitStack() as opened:
        world, beside = [await opened.enter_async_context(priced_world(tmp_path / name)) for name in "ab"]
        gateway = world.gateway
        await add_sink(gateway, dead)
        await add_sink(gateway, watching, observer=True)
        answered: list[str] = []
        windows: list[Window] = []
        while not windows or (is_slow(windows[-1]) and len(windows) < ROUNDS):
            windows.append(await side_by_side(world, beside, answered))
            record_property(f"round {len(windows)}", windows[-1])
        assert not is_slow(windows[-1]), "requests were slower beside a dead sink, each time"
        for kind in KINDS:
            recorded = await gateway.recorded(kind, len(answered))
            assert Counter(record["request_id"] for record in recorded) == Counter(answered)
        await is_summed_up(world)
        # From here on another sink handles what the dead one does not get.
        await add_sink(gateway, living)
        secret = world.caller.secret
        await call(gateway, secret, CALLS)
        calls = len(answered) + CALLS

        async def all_taken() -> bool:
            return all(len(taken(living, kind)) >= CALLS for kind in KINDS) and all(
                len(taken(watching, kind)) >= calls for kind in KINDS
            )

        await eventually(all_taken, "the other sinks have everything")
        stored = {kind: len(await gateway.records(kind)) for kind in KINDS}
        assert stored == dict.fromkeys(KINDS, len(answered)), "what another sink handled was stored"
        await is_summed_up(world)
        assert not dead.read_text()
        status = (await gateway.api.get("/api/v1/collectors/dead")).json()["data"]
        assert {breaker["kind"] for breaker in status["breakers"]} == {
            "proxy-log",
            "analytics",
            "budget-usage",
        }

        Path(f"{dead}.away").unlink()

        async def redriven() -> bool:
            # Again and again, as an impatient operator would: some events are only just being let past.
            asked = await gateway.api.post("/api/v1/dead-letters/redrive?collector=dead")
            assert asked.status_code == 202
            return all(len(taken(dead, kind)) >= calls for kind in KINDS)

        await eventually(redriven, "the sink has everything")
        for kind in KINDS:
            assert taken(dead, kind) == taken(watching, kind)
            assert set(taken(dead, kind).values()) == {1}
            assert len(await gateway.records(kind)) == len(answered), "a redrive deleted records"
        await is_summed_up(world)
        assert await gateway.stop() == 0


def is_slow(window: Window) -> bool:
    """Whether all calls or some were slower than beside it."""
    return max(window.ratio, window.median_ratio) > MOST


@asynccontextmanager
async def priced_world(directory: Path) -> AsyncIterator[World]:
    """A world on an upstream of its own, with prices that are known here."""
    directory.mkdir()
    with running(directory / "calls.jsonl") as upstream:
        async with open_world(directory / "data", upstream) as world:
            for model, prices in PRICES.items():
                await world.gateway.create("model-prices", vendor="openai", model=model, **prices)
            yield world


async def is_summed_up(world: World) -> None:
    """Wait until the summary is what the upstream has counted."""
    counted = counted_upstream(world, world.upstream.calls(), PRICES)

    async def equal() -> bool:
        return await summary(world, "llm,model") == counted

    await eventually(equal, "the summary is what the upstream counted")


async def test_whatever_is_killed_every_event_is_handled_or_recorded_and_no_record_is_there_twice(
    tmp_path: Path,
) -> None:
    dice = random.Random(7)
    flaky = tmp_path / "flaky"
    away = Path(f"{flaky}.away")
    with running(tmp_path / "calls.jsonl") as upstream:
        async with running_gateway(tmp_path / "data", plugin_path=PLUGINS) as gateway:
            llm = await add_llm(gateway, upstream.url)
            caller = await gateway.caller(llm["id"])
            await add_sink(gateway, flaky)
            await add_sink(gateway, tmp_path / "watching", observer=True)
            calling = asyncio.create_task(call(gateway, caller.secret, 8 * CALLS))
            while not calling.done():
                await asyncio.wait([calling], timeout=dice.uniform(0.1, 1.0))
                away.unlink() if away.exists() else away.touch()
                kill_collectors(gateway)
            await calling
            away.unlink(missing_ok=True)

            async def settled() -> bool:
                return all([len(await union(gateway, flaky, kind)) >= 8 * CALLS for kind in KINDS])

            await eventually(settled, "every event is handled or recorded", within_s=60)
            for kind in KINDS:
                recorded = Counter(record["event_id"] for record in await gateway.records(kind))
                assert set(recorded.values()) <= {1}
                everything = taken(tmp_path / "watching", kind)
                assert len(await union(gateway, flaky, kind)) == 8 * CALLS
                assert set(everything) <= await union(gateway, flaky, kind)


def kill_collectors(gateway: Gateway) -> None:
    for pid, command in gateway.children().items():
        if "collectors" in command:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


async def union(gateway: Gateway, sink: Path, kind: str) -> set[str]:
    """The events that are handled or recorded."""
    return {record["event_id"] for record in await gateway.records(kind)} | set(taken(sink, kind))
