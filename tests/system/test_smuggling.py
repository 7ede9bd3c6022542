"""Requests that try to be two, or another than they say, and keys in places where no key belongs."""

from __future__ import annotations

import asyncio
import json

import pytest
from tests.support.puppet import Puppet, PuppetCall
from tests.support.wire import Answer, request
from tests.support.world import CHAT, QUESTION, World

from weir_cli.mock_upstream.process import DEFAULT_KEY

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(60)]

BODY = json.dumps(QUESTION).encode()
INNER = b"GET /health HTTP/1.1\r\nhost: inner\r\n\r\n"


def head(world: World, *lines: bytes) -> bytes:
    """A request's head with these lines."""
    start = b"POST %b HTTP/1.1\r\nhost: a\r\nauthorization: Bearer %b\r\n"
    return start % (CHAT.encode(), world.caller.secret.encode()) + b"".join(lines) + b"\r\n"


async def passed_on(world: World, puppeteered: Puppet, data: bytes) -> tuple[PuppetCall, Answer]:
    """What arrives upstream of one raw request, and the answer to it."""
    async with world.wire() as wire:
        await wire.send(data)
        call = await puppeteered.call()
        await call.answer(b"{}", "content-type: application/json")
        return call, await wire.answer()


@pytest.mark.parametrize(
    "framing",
    [
        b"content-length: 40\r\ntransfer-encoding: chunked\r\n",
        b"transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
        b"transfer-encoding: chunked, identity\r\n",
        b"transfer-encoding: xchunked\r\n",
        b"transfer-encoding : chunked\r\n",
        b"transfer-encoding:\r\n chunked\r\n",
        b"content-length: +40\r\n",
        b"content-length: 0x28\r\n",
        b"content-length: 4 0\r\n",
        b"content-length: 40, 40\r\n",
        b"content-length: 4\r\ncontent-length: 40\r\n",
        b"content-length: 99999999999999999999999\r\n",
    ],
)
async def test_a_request_whose_length_could_be_read_in_two_ways_is_never_two_requests(
    world: World, framing: bytes
) -> None:
    before = len(world.upstream.calls())
    async with world.wire() as wire:
        await wire.send(head(world, framing) + b"0\r\n\r\n" + INNER)
        answer = await wire.answer()
        assert answer.status in (400, 413), answer
        assert b"HTTP/1.1" not in await wire.rest()
    assert len(world.upstream.calls()) == before


async def test_the_body_of_a_refused_call_is_never_taken_for_the_next_request(world: World) -> None:
    async with world.wire() as wire:
        await wire.send(head(world, b"content-length: 104857600\r\n") + INNER * 3)
        assert (await wire.answer()).status == 413
        wire.writer.write_eof()
        assert b"HTTP/1.1" not in await wire.rest()


async def test_a_refusal_before_the_body_leaves_the_connection_in_step(world: World) -> None:
    unknown = request(BODY, "authorization: Bearer wk_nobody", path=CHAT)
    async with world.wire() as wire:
        await wire.send(unknown[:-10])
        assert (await wire.answer()).status == 401
        await wire.send(unknown[-10:] + world.request(BODY))
        assert (await wire.answer()).status == 200


async def test_a_chunk_that_is_none_ends_the_call_at_once(world: World) -> None:
    async with world.wire() as wire:
        await wire.send(head(world, b"transfer-encoding: chunked\r\n") + b"4\r\n{   \r\nno size\r\n")
        answer = await wire.answer()
        assert answer.status == 400
        assert await wire.rest() == b""


async def test_trailers_are_no_headers(world: World, puppeteered: Puppet) -> None:
    door = await world.door(puppeteered.url)
    start = f"POST {door.path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {door.caller.secret}\r\n"
    chunk = b"%x\r\n%b\r\n0\r\n" % (len(BODY), BODY)
    trailers = b"x-api-key: another\r\nopenai-beta: smuggled\r\nauthorization: Bearer x\r\n\r\n"
    data = start.encode() + b"transfer-encoding: chunked\r\n\r\n" + chunk + trailers
    call, answer = await passed_on(world, puppeteered, data)
    assert answer.status == 200
    assert b"smuggled" not in call.head
    assert call.body == BODY


async def test_an_upstreams_trailers_and_second_answers_reach_no_client(
    world: World, puppeteered: Puppet
) -> None:
    door = await world.door(puppeteered.url)
    asking = asyncio.create_task(world.ask(door))
    call = await puppeteered.call()
    await call.send(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nset-cookie: trailed=1\r\n\r\n"
        b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\nset-cookie: second=1\r\n\r\n{second}"
    )
    answer = await asking
    assert (answer.status_code, answer.content) == (200, b"{}")
    assert "set-cookie" not in answer.headers
    asking = asyncio.create_task(world.ask(door))
    await (await puppeteered.call()).answer(b"{}")
    assert (await asking).content == b"{}"


async def test_the_connection_header_takes_nothing_from_what_the_gateway_sets(
    world: World, puppeteered: Puppet
) -> None:
    door = await world.door(puppeteered.url)
    named = "connection: authorization, x-request-id, traceparent, content-type, x-private"
    lines = [f"authorization: Bearer {door.caller.secret}", "x-private: 1", named]
    call, answer = await passed_on(world, puppeteered, request(BODY, *lines, path=door.path))
    assert f"authorization: Bearer {DEFAULT_KEY}".encode() in call.head
    assert call.request_id == answer.headers["x-request-id"]
    assert b"x-private" not in call.head
    assert b"traceparent: 00-" in call.head


@pytest.mark.parametrize(
    "line",
    [
        "proxy-authorization: Bearer {key}",
        "cookie: key={key}",
        "api-key: {key}",
        "x-goog-api-key: {key}",
        "x-api-key: {key}",
    ],
)
async def test_the_apps_key_goes_no_further_wherever_it_is_sent(
    world: World, puppeteered: Puppet, line: str
) -> None:
    door = await world.door(puppeteered.url)
    key = door.caller.secret
    lines = [f"authorization: Bearer {key}", line.format(key=key)]
    path = f"{door.path}?key={key}&%6bey={key}&alt=json"
    call, answer = await passed_on(world, puppeteered, request(BODY, *lines, path=path))
    assert answer.status == 200
    assert key.encode() not in call.head
    assert b"?alt=json " in call.head
    log = (await world.families.of(call.request_id)).log
    assert key not in json.dumps(log)


@pytest.mark.parametrize("name", ["ft:gpt-4o:org", "a%2Fb", "gpt%2D4o"])
async def test_a_name_in_the_path_arrives_upstream_as_the_same_name(
    world: World, puppeteered: Puppet, name: str
) -> None:
    door = await world.door(puppeteered.url)
    path = door.path.replace("chat/completions", f"models/{name}")
    lines = f"GET {path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {door.caller.secret}\r\n\r\n"
    call, answer = await passed_on(world, puppeteered, lines.encode())
    assert answer.status == 200
    arrived = name.replace("%2D", "-").encode()
    assert call.head.startswith(b"GET /v1/models/%b HTTP/1.1\r\n" % arrived), call.head


@pytest.mark.parametrize(
    "path",
    [
        "/llm/call/gpt/v1/models/a%0d%0ax: y",
        "/llm/call/gpt/v1/models/%00",
        "/llm/call/gpt/v1/models/a%20HTTP/1.1",
        "/llm/call/gpt/v1/models/a%3Fkey=1",
        "/llm/call/gpt/v1/models/a%23b",
        "/llm/call/gpt/v1/models/a%25b",
        "/llm/call/gpt/v1/models/mod%C3%A8le",
        "/llm/call/gpt/v1/models/..%2f..%2fadmin",
        "/llm/call/gpt/v1/models/%252e%252e/x",
        "/llm/call/gpt/v1/models/%2e%2e",
        "/llm/call/gpt/v1/chat/completions/",
        "/llm/call/gpt/v1/chat/completions%2f",
        "/llm/call/gpt/v1/chat%2fcompletions",
        "/llm/call/gpt/V1/CHAT/COMPLETIONS",
        "/llm/call/gpt\\v1",
        "/llm/call/%67pt/v1/chat/completions",
        "//llm/call/gpt/v1/chat/completions",
        "/llm//call/gpt/v1/chat/completions",
        "/./llm/call/gpt/v1/chat/completions",
        "/api/v1/../../llm/call/gpt/v1/chat/completions",
        "/api/v1/llms/1/proxy/../../apps",
        "/api/v1/llms/01/proxy/v1/chat/../completions",
        "/api/v1/llms/%31/proxy/v1/chat/completions",
    ],
)
async def test_a_path_by_another_spelling_asks_no_upstream(world: World, path: str) -> None:
    before = len(world.upstream.calls())
    for method in (b"POST", b"GET"):
        answer = await world.exchange(world.request(BODY, path=path).replace(b"POST", method, 1))
        assert 400 <= answer.status < 500, answer
    assert len(world.upstream.calls()) == before


@pytest.mark.parametrize(
    "target", ["http://elsewhere.example{path}", "https://user:pass@elsewhere.example{path}"]
)
async def test_an_absolute_target_is_treated_by_its_path(world: World, target: str) -> None:
    answer = await world.exchange(world.request(BODY, path=target.format(path=CHAT)))
    assert answer.status == 200


@pytest.mark.parametrize(
    "data",
    [
        b"CONNECT gpt:443 HTTP/1.1\r\nhost: a\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
async def test_methods_that_mean_something_to_proxies_do_nothing_here(world: World, data: bytes) -> None:
    async with world.wire() as wire:
        await wire.send(data)
        assert 400 <= (await wire.answer()).status < 500
