"""An answer that a response plugin cannot be shown: refused where the plugin guards, untouched where it does not."""

from __future__ import annotations

import asyncio
import gzip

import httpx2
import pytest
from tests.support.puppet import Puppet
from tests.support.world import Door, World

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(120)]

PLAIN = b'{"id": "x", "choices": []}'
UNREADABLE = {
    "no gzip at all": (b"\x1f\x8b no, not really", "gzip"),
    "gzip that was cut": (gzip.compress(PLAIN)[:-4], "gzip"),
    "gzip twice": (gzip.compress(gzip.compress(PLAIN)), "gzip, gzip"),
    "an encoding that nobody knows": (b"(zipped)", "zip-o-matic"),
    "brotli": (b"\x0b\x02\x80\x03", "br"),
}
cases = pytest.mark.parametrize("case", UNREADABLE)
streams = pytest.mark.parametrize("stream", [False, True])


async def answered(
    world: World, puppeteered: Puppet, door: Door, case: str, stream: bool
) -> tuple[httpx2.Response, bytes]:
    """Let the upstream answer with a case; the gateway's answer and the raw bytes of its body."""
    body, encoding = UNREADABLE[case]
    kind = "text/event-stream" if stream else "application/json"
    headers = {"authorization": f"Bearer {door.caller.secret}"}
    question = {"model": "gpt-4o-mini", "messages": [], "stream": stream}

    async def ask() -> tuple[httpx2.Response, bytes]:
        async with world.client.stream("POST", door.path, json=question, headers=headers) as answer:
            return answer, b"".join([piece async for piece in answer.aiter_raw()])

    asking = asyncio.create_task(ask())
    call = await puppeteered.call()
    await call.answer(body, f"content-encoding: {encoding}", f"content-type: {kind}")
    return await asking


@cases
@streams
async def test_a_guard_that_cannot_read_an_answer_keeps_it_from_the_client(
    world: World, puppeteered: Puppet, case: str, stream: bool
) -> None:
    door = await world.door(puppeteered.url)
    name = await world.attach(door, "Stamp", "on_response", on_error="fail_closed")
    answer, body = await answered(world, puppeteered, door, case, stream)
    assert answer.status_code == 502
    assert b"upstream_undecodable" in body
    assert UNREADABLE[case][0] not in body
    assert "content-encoding" not in answer.headers
    family = await world.families.of(answer.headers["x-request-id"])
    assert family.sizes == (1, 1, 1)
    assert (family.log["outcome"], family.log["blocked_by"]) == ("blocked", name)
    assert family.sole_analytics["usage_source"] == "estimated"


@cases
@streams
async def test_a_plugin_that_may_fail_lets_it_pass_byte_for_byte(
    world: World, puppeteered: Puppet, case: str, stream: bool
) -> None:
    door = await world.door(puppeteered.url)
    await world.attach(door, "Stamp", "on_response", on_error="fail_open")
    answer, body = await answered(world, puppeteered, door, case, stream)
    assert (answer.status_code, body) == (200, UNREADABLE[case][0])
    assert answer.headers["content-encoding"] == UNREADABLE[case][1]
    family = await world.families.of(answer.headers["x-request-id"])
    assert (family.log["outcome"], family.log["blocked_by"]) == ("served", None)


@pytest.mark.parametrize("on_error", ["fail_open", "fail_closed"])
async def test_a_gzip_answer_that_can_be_read_is_shown_and_changed(
    world: World, puppeteered: Puppet, on_error: str
) -> None:
    door = await world.door(puppeteered.url)
    await world.attach(door, "Stamp", "on_response", on_error=on_error)
    asking = asyncio.create_task(world.ask(door))
    call = await puppeteered.call()
    await call.answer(gzip.compress(PLAIN), "content-encoding: gzip", "content-type: application/json")
    answer = await asking
    assert answer.json() == {"id": "x", "choices": [], "weir": "was here"}
    assert "content-encoding" not in answer.headers
