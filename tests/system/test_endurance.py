"""What clients, upstreams and operators do to a gateway that must go on serving everybody else."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from tests.support.gateway import Gateway, eventually
from tests.support.puppet import STREAM_HEAD, Puppet, text_event
from tests.support.records import KINDS
from tests.support.wire import request
from tests.support.world import CHAT, QUESTION, World, open_world

from weir_cli.mock_upstream.process import RunningMock

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(60)]

MIB = 1024 * 1024


@pytest_asyncio.fixture(loop_scope="session")
async def fresh(tmp_path: Path, upstream: RunningMock) -> AsyncIterator[World]:
    """A world of its own, to be damaged."""
    async with open_world(tmp_path / "data", upstream) as opened:
        yield opened


@contextlib.contextmanager
def frozen(gateway: Gateway, *names: str) -> Iterator[None]:
    """These children do not run for the length of the block."""
    pids = [gateway.child(name) for name in names]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


async def served(world: World, calls: int = 5) -> list[str]:
    """The request ids of some calls, all of which were answered."""
    answers = [await world.client.post(CHAT, json=QUESTION) for _ in range(calls)]
    assert {answer.status_code for answer in answers} == {200}
    return [answer.headers["x-request-id"] for answer in answers]


async def assert_recorded(world: World, request_ids: list[str]) -> None:
    await world.families.settled()
    for kind in KINDS:
        found = [record["request_id"] for record in await world.gateway.records(kind)]
        assert sorted(set(request_ids) & set(found)) == sorted(request_ids)


async def test_calls_are_served_while_control_and_collectors_are_frozen_and_recorded_afterwards(
    world: World,
) -> None:
    with frozen(world.gateway, "control", "collectors"):
        ids = await served(world)
    await assert_recorded(world, ids)


async def test_calls_are_served_without_the_files_that_others_need(fresh: World) -> None:
    """Sockets, metrics and published configuration: what a tidy-up script might remove."""
    data_dir = fresh.gateway.data_dir
    for name in ("run", "metrics", "config"):
        shutil.rmtree(data_dir / name, ignore_errors=True)
    ids = await served(fresh)
    await fresh.gateway.kill_everything()
    await fresh.gateway.start()
    await assert_recorded(fresh, ids)


async def test_a_body_in_pieces_of_one_byte_holds_nobody_up(world: World) -> None:
    body = json.dumps(QUESTION | {"user": "x" * 120_000}).encode()
    pieces = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    head = request(b"", path=CHAT).replace(b"content-length: 0", b"transfer-encoding: chunked")
    async with world.wire() as wire:
        await wire.send(
            head.removesuffix(b"\r\n") + f"authorization: Bearer {world.caller.secret}\r\n\r\n".encode()
        )
        await wire.send(pieces)
        assert (await wire.answer()).status == 200


async def test_a_client_that_does_not_read_holds_its_upstream_back_instead_of_filling_the_memory(
    world: World, puppeteered: Puppet
) -> None:
    door = await world.door(puppeteered.url)
    async with world.wire(limit=1024) as wire:
        body = json.dumps(QUESTION | {"stream": True}).encode()
        await wire.send(request(body, f"authorization: Bearer {door.caller.secret}", path=door.path))
        call = await puppeteered.call()
        await call.send(STREAM_HEAD)
        event, taken = text_event("x" * 65_536), 0
        with contextlib.suppress(TimeoutError):
            while taken < 256 * MIB:
                await asyncio.wait_for(call.event(event), 0.5)
                taken += len(event)
        assert taken < 64 * MIB
        wire.hang_up()
        await asyncio.wait_for(call.left.wait(), 10)
    family = await world.families.awaited(call.request_id)
    assert family.sizes == (1, 1, 1)
    assert family.log["outcome"] == "client_aborted"


async def test_silent_connections_are_closed_and_keep_nobody_out(world: World) -> None:
    async with contextlib.AsyncExitStack() as stack:
        silent = [await stack.enter_async_context(world.wire()) for _ in range(200)]
        assert await served(world)
        for wire in silent:
            assert (await wire.answer()).status == 408


async def test_a_client_is_told_to_go_on_only_when_its_body_is_wanted(world: World) -> None:
    body = json.dumps(QUESTION).encode()
    async with world.wire() as wire:
        asking = world.request(body, "expect: 100-continue")
        await wire.send(asking[: -len(body)])
        assert (await wire.head()).status == 100
        await wire.send(body)
        assert (await wire.answer()).status == 200
    async with world.wire() as wire:
        unknown = request(body, "expect: 100-continue", "authorization: Bearer wk_nobody", path=CHAT)
        await wire.send(unknown[: -len(body)])
        assert (await wire.answer()).status == 401


async def test_an_informational_answer_of_the_upstream_is_not_taken_for_the_answer(
    world: World, puppeteered: Puppet
) -> None:
    door = await world.door(puppeteered.url)
    asking = asyncio.create_task(world.ask(door))
    call = await puppeteered.call()
    await call.send(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\nset-cookie: early=1\r\n\r\n")
    await call.answer(b"{}", "content-type: application/json")
    answer = await asking
    assert (answer.status_code, answer.content) == (200, b"{}")
    assert "set-cookie" not in answer.headers


async def test_bytes_behind_an_upstreams_answer_never_reach_the_next_client(
    world: World, puppeteered: Puppet
) -> None:
    door = await world.door(puppeteered.url)
    asking = asyncio.create_task(world.ask(door))
    call = await puppeteered.call()
    await call.answer(b"{}")
    assert (await asking).content == b"{}"
    await call.send(b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\nfor somebody")
    asking = asyncio.create_task(world.ask(door))
    await (await puppeteered.call()).answer(b'{"id": 2}')
    assert (await asking).content == b'{"id": 2}'


async def test_nothing_is_in_flight_when_everybody_has_gone(world: World) -> None:
    async def none() -> bool:
        text = (await world.client.get("/metrics")).text
        gauges = [line for line in text.splitlines() if line.startswith("weir_requests_in_flight")]
        return bool(gauges) and all(line.endswith(" 0.0") for line in gauges)

    await eventually(none, "every slot is free")
