"""Stopping in a hurry: every call that was in flight leaves one family that says what became of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from tests.support.puppet import STREAM_HEAD, Puppet, text_event
from tests.support.records import Family
from tests.support.wire import Wire
from tests.support.wire import request as asked
from tests.support.world import QUESTION, Door, World, open_world

from weir_cli.mock_upstream.process import RunningMock

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(120)]

MOST_TOKENS = 700
END_OF_CHUNKS = b"0\r\n\r\n"
WHOLE = json.dumps(QUESTION | {"max_tokens": MOST_TOKENS}).encode()
STREAM = json.dumps(QUESTION | {"max_tokens": MOST_TOKENS, "stream": True}).encode()


@dataclass
class Caught:
    """Calls in flight in each of the places where a call can be, by what that place is, and their clients."""

    world: World
    doors: dict[str, Door]
    wires: dict[str, Wire]

    async def families(self) -> dict[str, Family]:
        """What each left, once the gateway has been started again."""
        found = {}
        for place, door in self.doors.items():
            [log] = await self.world.gateway.recorded("proxy-logs", 1, llm_id=door.llm_id)
            found[place] = await self.world.families.of(log["request_id"])
        return found


@pytest_asyncio.fixture(loop_scope="session")
async def caught(
    tmp_path: Path, upstream: RunningMock, puppeteered: Puppet, request: pytest.FixtureRequest
) -> AsyncIterator[Caught]:
    settings = {"shutdown_grace": request.param, "body_timeout": "60"}
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(open_world(tmp_path / "data", upstream, **settings))
        caught = Caught(world, {}, {})

        async def call(place: str, body: bytes, missing: int = 0) -> None:
            door = await world.door(puppeteered.url)
            caught.doors[place] = door
            if place == "in a plugin":
                await world.attach(door, "Waiting", "post_auth", timeout_ms=60_000)
            wire = caught.wires[place] = await stack.enter_async_context(world.wire())
            whole = asked(body, f"authorization: Bearer {door.caller.secret}", path=door.path)
            await wire.send(whole[: len(whole) - missing])

        await call("in its body", WHOLE, missing=5)
        await call("in a plugin", WHOLE)
        await call("upstream", WHOLE)
        await puppeteered.call()
        await call("in a stream", STREAM)
        stream = await puppeteered.call()
        await stream.send(STREAM_HEAD)
        await stream.event(text_event("a piece of text"))
        await caught.wires["in a stream"].head()
        await caught.wires["in a stream"].chunk()
        yield caught


# A gateway that is asked twice waits for nothing, however long its grace is.
@pytest.mark.parametrize(("caught", "hurry"), [("60", True), ("1", False)], indirect=["caught"])
async def test_what_is_in_flight_when_the_gateway_must_stop_is_a_gateway_error_with_its_worst_bill(
    caught: Caught, hurry: bool
) -> None:
    gateway = caught.world.gateway
    await asyncio.wait_for(gateway.stop(hurry=hurry), 30)
    assert not (await caught.wires["in a stream"].rest()).endswith(END_OF_CHUNKS)
    await gateway.start()
    families = await caught.families()
    assert {family.log["outcome"] for family in families.values()} == {"gateway_error"}
    assert families["in its body"].sizes == families["in a plugin"].sizes == (1, 0, 0)
    for place in ("upstream", "in a stream"):
        assert families[place].sizes == (1, 1, 1), place
        assert families[place].sole_analytics["usage_source"] == "estimated"
        assert families[place].sole_budget["prompt_tokens"] > 0
    assert families["upstream"].sole_budget["response_tokens"] == MOST_TOKENS
    assert 0 < families["in a stream"].sole_budget["response_tokens"] <= MOST_TOKENS
