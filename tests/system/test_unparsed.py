"""Requests that are refused before there is a call: each refusal can be found again, and wears a known shape."""

from __future__ import annotations

import json

import pytest
from tests.support.wire import Answer
from tests.support.world import CHAT, World

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(60)]

NO_HTTP = [
    b"GARBAGE\r\n\r\n",
    b"POST " + CHAT.encode() + b" HTTP/1.1\r\nhost: a\r\nbad header\r\n\r\n",
    b"POST " + CHAT.encode() + b" HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n{}",
    b"POST " + CHAT.encode() + b" HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n",
    b"POST /caf\xc3\xa9 HTTP/1.1\r\nhost: a\r\n\r\n",
]


def assert_is_problem(answer: Answer, status: int) -> None:
    """An RFC 9457 problem under an id of its own, that ends the connection."""
    assert answer.status == status
    assert answer.headers["x-request-id"]
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert answer.headers["connection"] == "close"
    problem = json.loads(answer.body)
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    assert b"Traceback" not in answer.body


@pytest.mark.parametrize("data", NO_HTTP)
async def test_what_is_no_http_is_a_problem_that_can_be_found_again(world: World, data: bytes) -> None:
    async with world.wire() as wire:
        await wire.send(data)
        assert_is_problem(await wire.answer(), 400)
        assert await wire.rest() == b""


async def test_headers_that_do_not_come_are_a_problem_that_can_be_found_again(world: World) -> None:
    async with world.wire() as wire:
        await wire.send(b"POST " + CHAT.encode() + b" HTTP/1.1\r\nhost: a\r\n")
        assert_is_problem(await wire.answer(), 408)
        assert await wire.rest() == b""


async def test_headers_over_the_limit_are_a_problem_that_can_be_found_again(world: World) -> None:
    async with world.wire() as wire:
        await wire.send(b"POST " + CHAT.encode() + b" HTTP/1.1\r\nx-a: " + b"b" * 80_000)
        assert_is_problem(await wire.answer(), 431)


async def test_every_refusal_has_an_id_of_its_own(world: World) -> None:
    ids = {(await world.exchange(NO_HTTP[0])).headers["x-request-id"] for _ in range(3)}
    assert len(ids) == 3
