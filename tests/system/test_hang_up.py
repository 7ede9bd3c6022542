"""Clients that hang up: each loses its own call and no other, whatever shares its connection."""

from __future__ import annotations

import asyncio
import json

import pytest
from tests.support.puppet import DONE, STREAM_HEAD, Puppet, text_event, usage_event
from tests.support.wire import request
from tests.support.world import QUESTION, Door, World

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(120)]

STREAM = json.dumps(QUESTION | {"stream": True}).encode()
WHOLE = json.dumps(QUESTION).encode()


def asked(door: Door, body: bytes = STREAM) -> bytes:
    return request(body, f"authorization: Bearer {door.caller.secret}", path=door.path)


@pytest.mark.parametrize("lingers", [True, False], ids=["upstream lingers", "upstream has ended"])
async def test_the_end_of_one_stream_does_not_disarm_the_hang_up_of_the_next_on_its_connection(
    world: World, puppeteered: Puppet, lingers: bool
) -> None:
    door = await world.door(puppeteered.url)
    async with world.wire() as wire:
        await wire.send(asked(door))
        first = await puppeteered.call()
        await first.send(STREAM_HEAD)
        await first.event(text_event("one", "stop") + usage_event(10, 1) + DONE)
        answer = await wire.answer()
        assert answer.body.endswith(DONE)
        # The gateway still reads the end of the first upstream while the second stream runs.
        await wire.send(asked(door))
        second = await puppeteered.call()
        await second.send(STREAM_HEAD)
        await second.event(text_event("two"))
        second_id = (await wire.head()).headers["x-request-id"]
        assert b"two" in await wire.chunk()
        assert not first.left.is_set(), "the second stream had to wait for the end of the first upstream"
        if not lingers:
            await first.end()
            # Served behind that end by the same loop, so the first stream is over.
            assert (await world.ask(await world.door())).status_code == 200
        wire.hang_up()
        await asyncio.wait_for(second.left.wait(), 10)
    family = await world.families.of(second_id)
    assert family.sizes == (1, 1, 1)
    assert family.log["outcome"] == "client_aborted"
    assert family.sole_analytics["usage_source"] == "estimated"
    assert (await world.families.of(answer.headers["x-request-id"])).log["outcome"] == "served"


async def test_a_request_pipelined_behind_an_aborted_stream_is_neither_asked_nor_billed(
    world: World, puppeteered: Puppet
) -> None:
    door = await world.door(puppeteered.url)
    async with world.wire() as wire:
        await wire.send(asked(door) * 2)
        call = await puppeteered.call()
        await call.send(STREAM_HEAD)
        await call.event(text_event("one"))
        request_id = (await wire.head()).headers["x-request-id"]
        assert b"one" in await wire.chunk()
        wire.hang_up()
        await asyncio.wait_for(call.left.wait(), 10)
    assert (await world.families.of(request_id)).log["outcome"] == "client_aborted"
    assert puppeteered.waiting == 0
    bills = await world.gateway.records("budget-usage", llm_id=door.llm_id)
    assert [bill["request_id"] for bill in bills] == [request_id]


async def test_a_pipelined_request_is_answered_when_the_stream_before_it_has_ended(
    world: World, puppeteered: Puppet
) -> None:
    door = await world.door(puppeteered.url)
    async with world.wire() as wire:
        await wire.send(asked(door) + asked(door, WHOLE))
        call = await puppeteered.call()
        await call.send(STREAM_HEAD)
        await call.event(text_event("one", "stop") + DONE)
        await call.end()
        assert (await wire.answer()).body.endswith(DONE)
        call = await puppeteered.call()
        await call.answer(b'{"id": "two"}', "content-type: application/json")
        assert (await wire.answer()).body == b'{"id": "two"}'


async def test_a_whole_call_whose_client_is_gone_runs_on_and_is_billed_by_its_counters(
    world: World, puppeteered: Puppet
) -> None:
    door = await world.door(puppeteered.url)
    async with world.wire() as wire:
        await wire.send(asked(door, WHOLE))
        call = await puppeteered.call()
        wire.hang_up()
        # Answered behind the hang-up by the same loop.
    assert (await world.ask(await world.door())).status_code == 200
    assert not call.left.is_set()
    usage = {"prompt_tokens": 41, "completion_tokens": 1, "total_tokens": 42}
    await call.answer(json.dumps({"id": "x", "usage": usage}).encode(), "content-type: application/json")
    family = await world.families.awaited(call.request_id)
    assert family.sizes == (1, 1, 1)
    assert family.log["outcome"] == "client_aborted"
    assert (family.sole_analytics["usage_source"], family.sole_budget["tokens_used"]) == ("provider", 42)
