"""The disk refuses the write that would make a call history: nobody gets an answer that is on no record."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from tests.support.disk import file_size_limit
from tests.support.gateway import eventually
from tests.support.puppet import DONE, STREAM_HEAD, Puppet, text_event, usage_event
from tests.support.wire import request
from tests.support.world import CHAT, QUESTION, World, open_world

from weir_cli.mock_upstream.process import RunningMock

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(120)]

END_OF_CHUNKS = b"0\r\n\r\n"
LIMIT = 512 * 1024


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def world(tmp_path_factory: pytest.TempPathFactory, upstream: RunningMock) -> AsyncIterator[World]:
    """A world of its own, whose spool has written beyond ``LIMIT``."""
    async with open_world(tmp_path_factory.mktemp("weir") / "data", upstream) as opened:
        for _ in range(5):
            answer = await opened.client.post(CHAT, json=QUESTION | {"user": "x" * 150_000})
            assert answer.status_code == 200
        yield opened


async def ready(world: World) -> bool:
    return (await world.client.get("/ready")).status_code == 200


async def test_an_answer_that_cannot_be_recorded_is_a_503_under_the_calls_own_id(
    world: World, puppeteered: Puppet
) -> None:
    door = await world.door(puppeteered.url)
    async with world.wire() as wire:
        body = json.dumps(QUESTION).encode()
        await wire.send(request(body, f"authorization: Bearer {door.caller.secret}", path=door.path))
        call = await puppeteered.call()
        with file_size_limit(world.gateway.child("proxy"), LIMIT):
            usage = {"prompt_tokens": 41, "completion_tokens": 1, "total_tokens": 42}
            await call.answer(json.dumps({"id": "x", "usage": usage}).encode())
            answer = await wire.answer()
            assert (answer.status, answer.headers["retry-after"]) == (503, "1")
            assert answer.headers["x-request-id"] == call.request_id
            assert json.loads(answer.body)["error"]["code"] == "spool_full"
            assert not await ready(world)
            refused = await world.client.post(CHAT, json=QUESTION)
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "spool_full")
    await eventually(lambda: ready(world), "it is ready again when the disk takes writes")
    family = await world.families.of(call.request_id)
    assert family.sizes == (1, 1, 1)
    assert (family.log["outcome"], family.log["response_code"]) == ("gateway_error", 503)
    assert family.sole_budget["tokens_used"] == 42
    assert (await world.families.now(refused.headers["x-request-id"])).sizes == (0, 0, 0)


async def test_a_stream_that_cannot_be_recorded_is_cut_off_before_its_terminal_event(
    world: World, puppeteered: Puppet
) -> None:
    door = await world.door(puppeteered.url)
    async with world.wire() as wire:
        body = json.dumps(QUESTION | {"stream": True}).encode()
        await wire.send(request(body, f"authorization: Bearer {door.caller.secret}", path=door.path))
        call = await puppeteered.call()
        await call.send(STREAM_HEAD)
        await call.event(text_event("a piece"))
        assert (await wire.head()).status == 200
        assert b"a piece" in await wire.chunk()
        with file_size_limit(world.gateway.child("proxy"), LIMIT):
            await call.event(text_event("the last", "stop") + usage_event(41, 1) + DONE)
            await call.end()
            rest = await wire.rest()
            assert DONE not in rest
            assert not rest.endswith(END_OF_CHUNKS)
            assert not await ready(world)
    await eventually(lambda: ready(world), "it is ready again when the disk takes writes")
    family = await world.families.of(call.request_id)
    assert family.sizes == (1, 1, 1)
    assert (family.log["outcome"], family.log["response_code"]) == ("gateway_error", 200)
    assert family.sole_budget["tokens_used"] == 42
