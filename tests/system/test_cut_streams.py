"""What the record says of a stream that was cut is what was released of it, to the byte."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import Any

import pytest
from tests.support.puppet import STREAM_HEAD, Puppet, PuppetCall, text_event
from tests.support.wire import Wire, request
from tests.support.world import QUESTION, Door, World

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(120)]

SHORT = [text_event(f"piece {number}") for number in range(3)]
# Together more than the 256 KiB that an event keeps of a body.
LONG = [text_event(f"{number} " + "x" * 20_000) for number in range(20)]
CAPTURED = 256 * 1024


async def begin(wire: Wire, puppeteered: Puppet, door: Door) -> PuppetCall:
    """Start a stream."""
    body = json.dumps(QUESTION | {"stream": True}).encode()
    await wire.send(request(body, f"authorization: Bearer {door.caller.secret}", path=door.path))
    call = await puppeteered.call()
    await call.send(STREAM_HEAD)
    return call


async def pass_events(wire: Wire, call: PuppetCall, events: list[bytes]) -> bytes:
    """Send events through the gateway and return what the client got, which is all of it."""
    for event in events:
        await call.event(event)
    received, size = b"", len(b"".join(events))
    while len(received) < size:
        received += await wire.chunk()
    return received


def assert_tells(log: dict[str, Any], released: bytes) -> None:
    """The proxy log's response is what was released."""
    assert log["response_bytes"] == len(released)
    if len(released) < CAPTURED:
        assert not log["response_body_truncated"]
        assert log["response_body"].encode() == released
    else:
        assert log["response_body_truncated"]
        assert released.startswith(log["response_body"].encode())
        assert log["response_body_sha256"] == hashlib.sha256(released).hexdigest()


@pytest.mark.parametrize("events", [SHORT, LONG], ids=["short", "long"])
async def test_of_a_stream_that_its_client_cut_the_record_holds_what_was_released(
    world: World, puppeteered: Puppet, events: list[bytes]
) -> None:
    door = await world.door(puppeteered.url)
    async with world.wire() as wire:
        call = await begin(wire, puppeteered, door)
        await wire.head()
        released = await pass_events(wire, call, events)
        wire.hang_up()
        await asyncio.wait_for(call.left.wait(), 10)
    family = await world.families.awaited(call.request_id)
    assert family.log["outcome"] == "client_aborted"
    assert family.log["chunk_count"] == len(events)
    assert_tells(family.log, released)


@pytest.mark.parametrize("events", [SHORT, LONG], ids=["short", "long"])
async def test_of_a_stream_that_its_upstream_cut_the_record_holds_what_was_released(
    world: World, puppeteered: Puppet, events: list[bytes]
) -> None:
    door = await world.door(puppeteered.url)
    async with world.wire() as wire:
        call = await begin(wire, puppeteered, door)
        await wire.head()
        released = await pass_events(wire, call, events)
        await call.close()
        error = b"".join([chunk async for chunk in wire.chunks()])
    assert b"upstream_broken" in error
    family = await world.families.of(call.request_id)
    assert family.log["outcome"] == "upstream_error"
    assert_tells(family.log, released + error)


async def test_of_a_stream_that_ended_well_the_record_holds_the_hash_of_all_of_it(
    world: World, puppeteered: Puppet
) -> None:
    door = await world.door(puppeteered.url)
    async with world.wire() as wire:
        call = await begin(wire, puppeteered, door)
        for event in [*LONG, text_event("", "stop"), b"data: [DONE]\n\n"]:
            await call.event(event)
        await call.end()
        released = (await wire.answer()).body
    family = await world.families.of(call.request_id)
    assert family.log["outcome"] == "served"
    assert_tells(family.log, released)
