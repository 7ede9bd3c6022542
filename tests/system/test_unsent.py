"""Money: what never left the gateway costs nothing, and what did leave is billed however it ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from tests.support.ports import free_port
from tests.support.puppet import STREAM_HEAD, Puppet, PuppetCall, text_event
from tests.support.records import Family
from tests.support.world import World

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(120)]


@pytest_asyncio.fixture(loop_scope="session")
async def no_tls() -> AsyncIterator[str]:
    """An https URL where nobody speaks TLS."""

    async def hello(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        writer.close()

    async with await asyncio.start_server(hello, "127.0.0.1", 0) as server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.fixture
def endpoint(request: pytest.FixtureRequest, no_tls: str) -> str:
    return {
        "nobody listens": f"http://127.0.0.1:{free_port()}",
        "no such name": "http://weir-upstream.invalid",
        "no TLS there": no_tls,
    }[request.param]


@pytest.mark.parametrize("endpoint", ["nobody listens", "no such name", "no TLS there"], indirect=True)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_call_that_could_not_be_sent_costs_nothing(world: World, endpoint: str, stream: bool) -> None:
    door = await world.door(endpoint)
    answer = await world.ask(door, stream=stream)
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_unreachable")
    family = await world.families.of(answer.headers["x-request-id"])
    assert family.sizes == (1, 1, 1)
    assert family.log["outcome"] == "upstream_error"
    assert [attempt["error"] for attempt in family.log["attempts"]] == ["upstream_unreachable"]
    assert_free(family)


def assert_free(family: Family) -> None:
    assert (family.sole_analytics["usage_source"], family.sole_analytics["cost"]) == ("none", "0")
    assert (family.sole_budget["tokens_used"], family.sole_budget["cost"]) == (0, "0")


@pytest.mark.parametrize(
    ("fields", "settings", "status"),
    [
        ({"model": ""}, {}, 400),
        ({"model": "gpt-4o"}, {"allowed_models": ["gpt-4o-mini"]}, 403),
        ({}, {"is_active": False}, 403),
        ({"stream": True, "stream_options": 7}, {}, 400),
    ],
)
async def test_a_call_that_is_refused_here_leaves_no_bill_at_all(
    world: World, puppeteered: Puppet, fields: dict[str, Any], settings: dict[str, Any], status: int
) -> None:
    door = await world.door(puppeteered.url, **settings)
    answer = await world.ask(door, **fields)
    assert answer.status_code == status, answer.text
    assert (await world.families.of(answer.headers["x-request-id"])).sizes == (1, 0, 0)
    assert puppeteered.waiting == 0


async def say_nothing(call: PuppetCall) -> None:
    """Break off before the first byte."""


async def say_half_a_head(call: PuppetCall) -> None:
    await call.send(b"HTTP/1.1 200 OK\r\ncontent-le")


async def say_half_a_body(call: PuppetCall) -> None:
    await call.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{")


async def say_no_http(call: PuppetCall) -> None:
    await call.send(b"220 mail.example ESMTP\r\n\r\n")


@pytest.mark.parametrize("say", [say_nothing, say_half_a_head, say_half_a_body, say_no_http])
async def test_a_call_that_left_and_was_cut_is_billed_by_an_estimate(
    world: World, puppeteered: Puppet, say: Callable[[PuppetCall], Awaitable[None]]
) -> None:
    door = await world.door(puppeteered.url)
    asking = asyncio.create_task(world.ask(door))
    call = await puppeteered.call()
    await say(call)
    await call.close()
    answer = await asking
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_broken")
    family = await world.families.of(answer.headers["x-request-id"])
    assert family.sizes == (1, 1, 1)
    assert family.log["outcome"] == "upstream_error"
    assert family.sole_analytics["usage_source"] == "estimated"
    assert family.sole_budget["prompt_tokens"] > 0
    assert puppeteered.waiting == 0, "a call that may have cost something was sent twice"


async def test_an_upstream_that_is_silent_for_too_long_is_a_504_that_is_billed(
    world: World, puppeteered: Puppet
) -> None:
    door = await world.door(puppeteered.url, timeout_seconds=1)
    answer = await world.ask(door)
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "upstream_timeout")
    call = await puppeteered.call()
    await asyncio.wait_for(call.left.wait(), 10)
    family = await world.families.of(answer.headers["x-request-id"])
    assert (family.log["outcome"], family.sole_analytics["usage_source"]) == ("upstream_error", "estimated")
    assert family.sole_budget["prompt_tokens"] > 0


async def test_a_stream_that_is_silent_for_too_long_ends_with_an_error_event(
    world: World, puppeteered: Puppet
) -> None:
    door = await world.door(puppeteered.url, timeout_seconds=1)
    asking = asyncio.create_task(world.ask(door, stream=True))
    call = await puppeteered.call()
    await call.send(STREAM_HEAD)
    await call.event(text_event("hello"))
    answer = await asking
    assert b"upstream_timeout" in answer.content
    assert b"[DONE]" not in answer.content
    await asyncio.wait_for(call.left.wait(), 10)
    family = await world.families.of(answer.headers["x-request-id"])
    assert (family.log["outcome"], family.sole_analytics["usage_source"]) == ("upstream_error", "estimated")


async def test_an_idle_connection_that_the_upstream_closed_costs_the_next_call_nothing(
    world: World, puppeteered: Puppet
) -> None:
    door = await world.door(puppeteered.url)

    async def served(close: bool) -> httpx2.Response:
        asking = asyncio.create_task(world.ask(door))
        call = await puppeteered.call()
        await call.answer(b"{}")
        answer = await asking
        if close:
            await call.close()
        return answer

    assert (await served(close=True)).status_code == 200
    assert (await served(close=False)).status_code == 200
