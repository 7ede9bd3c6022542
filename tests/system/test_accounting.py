"""The summaries of a whole gateway: what the upstream was asked is what the sums say, whoever dies or handles."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from tests.support.bulk import Bulk
from tests.support.gateway import eventually
from tests.support.load import Ask, anthropic, openai
from tests.support.sums import added_up, counted_upstream, summary
from tests.support.topology import kill_child
from tests.support.world import World, open_world

from weir_cli.mock_upstream.process import running
from weir_streams.offsets import group_directory

pytestmark = [pytest.mark.crash, pytest.mark.timeout(300)]

CALLS: Final = 33_600
"""A hundred thousand events, and some that are never begun because of a kill."""

ASKS: Final = (openai("gpt"), openai("gpt")._replace(model="gpt-4o"), anthropic("claude"))
# Such that nearly every cost has to be rounded.
PRICES: Final = {
    "gpt-4o-mini": {
        "input": "0.1501237",
        "output": "0.6000411",
        "cache_read": "0.0750003",
        "reasoning": "0.7",
    },
    "gpt-4o": {"input": "2.5000007", "output": "10.0090001", "cache_read": "1.25", "reasoning": "11.0303"},
    "claude-sonnet-4-6": {"input": "3.1234567", "output": "15.65", "cache_read": "0.3001", "reasoning": "15"},
}
# How waiting asks a machine that has all this to do.
SELDOM: Final = {"within_s": 90.0, "every_s": 0.3}
VICTIMS: Final = ("collectors", "proxy-1", "control", "everything", "proxy-2", "collectors")


async def test_a_hundred_thousand_events_are_summed_up_as_the_upstream_counted_them(tmp_path: Path) -> None:
    """Under load every process dies; a collector refuses some events, which are redriven; all is read again.

    Compared is, for each LLM and model, what the summary says with a plain sum over the upstream's own log:
    requests, tokens, and costs at the prices that were set. What broke off in a kill the gateway cannot always
    have counted as the upstream did: in place of those calls alone, which no client had whole, the sum takes
    what was recorded as estimated, and that is never less than what the upstream has.
    """
    with running(tmp_path / "calls.jsonl") as upstream:
        async with open_world(tmp_path / "data", upstream, workers="2") as world:
            for ask in ASKS:
                vendor = "anthropic" if ask.model.startswith("claude") else "openai"
                await world.gateway.create(
                    "model-prices", vendor=vendor, model=ask.model, **PRICES[ask.model]
                )
            await add_picky(world, sink := tmp_path / "picky")
            bulk = Bulk(world.gateway.port, list(itertools.islice(requests(world), CALLS)))
            calling = asyncio.create_task(bulk.run())
            for number, victim in enumerate(VICTIMS, 1):
                await bulk.has_made(CALLS * number // (len(VICTIMS) + 1))
                await kill(world, victim)
            await calling
            await redrive(world, sink)
            await read_all_again(world, len(upstream.calls()))
            estimated = await estimates(world, bulk)
            calls = {call.headers["x-request-id"]: call for call in upstream.calls()}
            assert 3 * len(calls) > 100_000
            for request_id in estimated.keys() & calls:
                counted = calls.pop(request_id).usage
                assert counted is not None
                assert estimated[request_id]["total_tokens"] >= counted.total_tokens
            assert bulk.whole <= calls.keys()
            expected = counted_upstream(world, calls.values(), PRICES) + added_up(estimated.values())

            async def equal() -> bool:
                return await summary(world, "llm,model") == expected

            await eventually(equal, "the summary is what the upstream counted")


async def kill(world: World, victim: str) -> None:
    if victim == "everything":
        await world.gateway.kill_everything()
        await world.gateway.start()
    else:
        kill_child(world.gateway, victim)


def requests(world: World) -> Iterator[bytes]:
    """Calls of random sizes, a few of them streams."""
    dice = random.Random(1815)
    made = [request(world, dice, ask, stream=number % 25 == 0) for ask in ASKS for number in range(300)]
    while True:
        yield dice.choice(made)


def request(world: World, dice: random.Random, ask: Ask, *, stream: bool) -> bytes:
    """It tells the upstream what to count, and to take its time with streams, so that kills cut some off."""
    said, reasoned, cached = dice.randrange(1, 400), dice.randrange(1, 100), dice.randrange(20)
    wish = f"mock:response_tokens={said + reasoned}&reasoning_tokens={reasoned}&cache_read_tokens={cached}"
    pace = "&first_byte_ms=20&chunk_ms=2" if stream else ""
    body = {
        "model": ask.model,
        "messages": [{"role": "user", "content": "x" * dice.randrange(200)}],
        "max_tokens": 500,
        "metadata": {"user_id": wish + pace},
        "stream": stream,
    }
    return world.request(json.dumps(body).encode(), path=ask.path)


async def add_picky(world: World, file: Path) -> None:
    """A collector that handles nearly everything and notes it in a file; some events it refuses."""
    Path(f"{file}.picky").touch()
    plugin = await world.gateway.create(
        "plugins",
        name="picky",
        slug="picky",
        command="python://weir_sink_plugins:Picky",
        hook_types=["data_collection"],
        config={"file": str(file)},
    )
    await world.gateway.hosted(plugin["id"])


async def redrive(world: World, file: Path) -> None:
    """Let the collector have what it refused; the process with the collectors is killed meanwhile."""
    events = 3 * len(world.upstream.calls())

    async def all_have_had_their_verdict() -> bool:
        return len(taken(file)) + await letters(world, "failed") >= events

    await eventually(all_have_had_their_verdict, "every event is taken or a dead letter", **SELDOM)
    assert await letters(world, "failed") > 1000
    Path(f"{file}.picky").unlink()
    asked = await world.gateway.api.post("/api/v1/dead-letters/redrive?collector=picky")
    assert asked.status_code == 202
    await kill(world, "collectors")

    async def all_are_taken() -> bool:
        left = await letters(world, "failed") + await letters(world, "requested")
        return left == 0 and len(taken(file)) >= events

    await eventually(all_are_taken, "every dead letter is redriven", **SELDOM)


def taken(file: Path) -> set[bytes]:
    """What the collector has had: kind and id of each event."""
    return set(file.read_bytes().splitlines())


async def letters(world: World, state: str) -> int:
    query = {"collector": "picky", "state": state, "limit": 1}
    page = (await world.gateway.api.get("/api/v1/dead-letters", params=query)).raise_for_status().json()
    return int(page["pagination"]["total"])


async def read_all_again(world: World, calls: int) -> None:
    """Rob the accountant of all that says how far it has read, and wait until it has read so many again."""

    async def added() -> bool:
        sums = await summary(world, "llm,model")
        return sum(sums[key] for key in sums if key[-1] == "requests") >= calls

    await eventually(added, "every call is in the summary", **SELDOM)
    await world.gateway.stop()
    shutil.rmtree(group_directory(world.gateway.data_dir, "weir.accountant"))
    with sqlite3.connect(world.gateway.data_dir / "weir.db") as database:
        database.execute("UPDATE accountant_offsets SET next_offset = 0")
    await world.gateway.start()

    async def repeated() -> bool:
        return sum(await metrics(world, 'weir_accountant_events_total{result="repeated"}')) >= 2 * calls

    await eventually(repeated, "everything has been read again", **SELDOM)


async def metrics(world: World, name: str) -> list[float]:
    lines = (await world.client.get("/metrics")).text.splitlines()
    return [float(line.split()[-1]) for line in lines if line.startswith(name)]


async def estimates(world: World, bulk: Bulk) -> dict[str, dict[str, Any]]:
    """By request id, the bills that were estimated: there are some, and none for an answer that came whole."""
    bills = await world.gateway.records("analytics")
    found = {bill["request_id"]: bill for bill in bills if bill["usage_source"] == "estimated"}
    assert 0 < len(found) <= bulk.torn
    assert bulk.whole.isdisjoint(found)
    return found
