"""Hostile, broken and oversized input: clear errors, nothing leaked, nothing lost that was admitted."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.support.gateway import eventually
from tests.support.ports import free_port
from tests.support.wire import Wire, request
from tests.support.world import CHAT, QUESTION, World

from weir_cli.mock_upstream.process import DEFAULT_KEY

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(180)]

SECRET_KEYS = (DEFAULT_KEY, "Traceback", "site-packages")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{", ""),
        (b"[]", ""),
        (b"", ""),
        (b"\xff\xfe", ""),
        (b'{"model": 7, "messages": []}', "model"),
        (b'{"model": "a", "model": "b", "messages": []}', "model"),
        (b'{"model": "a", "mod\\u0065l": "b", "messages": []}', "model"),
        (b'{"model": "a", "stream": true, "stream": false, "messages": []}', "stream"),
        (b'{"model": "a", "stream": "yes", "messages": []}', "stream"),
        (b'{"model": "a", "messages": ' + b"[" * 100_000, ""),
    ],
)
async def test_a_body_that_cannot_be_read_safely_is_a_400_in_the_vendors_shape(
    world: World, body: bytes, field: str
) -> None:
    before = len(world.upstream.calls())
    answer = await world.client.post(CHAT, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["message"]
    assert field in error["message"]
    assert len(world.upstream.calls()) == before
    family = await world.families.of(answer.headers["x-request-id"])
    assert family.sizes == (1, 0, 0)
    assert family.log["outcome"] == "denied"


@pytest.mark.parametrize(
    "headers",
    [
        ["authorization: Bearer {secret}", "x-api-key: another"],
        ["authorization: Bearer {secret}", "authorization: Bearer {secret}"],
        ["authorization: Bearer {secret}", "content-type: application/json", "content-type: text/plain"],
        ["authorization: Bearer {secret}", "content-length: 5"],
        ["authorization: Bearer {secret}", "transfer-encoding: chunked"],
    ],
)
async def test_headers_that_could_mean_two_things_are_refused(world: World, headers: list[str]) -> None:
    filled = [header.format(secret=world.caller.secret) for header in headers]
    answer = await world.exchange(request(json.dumps(QUESTION).encode(), *filled, path=CHAT))
    assert answer.status == 400, answer
    assert b"Traceback" not in answer.body


async def test_a_hundred_megabytes_are_refused_without_being_swallowed_first(world: World) -> None:
    announced = world.request(b"").replace(b"content-length: 0", b"content-length: 104857600")
    answer = await world.exchange(announced)
    assert answer.status == 413
    assert json.loads(answer.body)["error"]["code"] == "request_too_large"


async def test_a_chunked_body_over_the_limit_is_refused_too(world: World) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b" " * 1024 * 1024

    answer = await world.client.post(CHAT, content=endless())
    assert answer.status_code == 413


async def test_headers_that_drip_in_are_cut_off(world: World) -> None:
    async def drip(wire: Wire) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                await wire.send(b"x-a: b\r\n")
                await asyncio.sleep(0.05)  # the drip

    async with world.wire() as wire:
        await wire.send(f"POST {CHAT} HTTP/1.1\r\nhost: a\r\n".encode())
        dripping = asyncio.create_task(drip(wire))
        assert (await wire.head()).status == 408
        dripping.cancel()


async def test_a_body_that_never_ends_is_a_408_that_leaves_its_event(world: World) -> None:
    half = world.request(b"half").replace(b"content-length: 4", b"content-length: 400")
    answer = await world.exchange(half)
    assert answer.status == 408
    family = await world.families.of(answer.headers["x-request-id"])
    assert family.log["response_code"] == 408


async def test_a_client_that_closes_its_half_leaves_one_settled_call(world: World) -> None:
    before = {record["request_id"] for record in await world.gateway.records("proxy-logs")}
    body = json.dumps(QUESTION | {"user": "mock:first_byte_ms=300"}).encode()
    found: list[dict[str, Any]] = []

    async def left() -> bool:
        nonlocal found
        found = [r for r in await world.gateway.records("proxy-logs") if r["request_id"] not in before]
        return bool(found)

    async with world.wire() as wire:
        await wire.send(world.request(body))
        wire.writer.write_eof()
        await eventually(left, "the call's proxy log")
    family = await world.families.of(found[0]["request_id"])
    assert family.sizes == (1, 1, 1)
    assert family.log["outcome"] == "client_aborted"
    assert family.sole_analytics["usage_source"] == "provider"


async def test_a_stream_that_the_client_leaves_is_cancelled_upstream_and_settled(world: World) -> None:
    body = QUESTION | {"stream": True, "user": "mock:chunks=500&chunk_ms=20"}
    async with world.client.stream("POST", CHAT, json=body) as answer:
        async for _ in answer.aiter_bytes():
            break
    request_id = answer.headers["x-request-id"]
    [call] = [call for call in world.upstream.calls() if call.headers.get("x-request-id") == request_id]

    async def cancelled() -> bool:
        ending = world.upstream.endings().get(call.id)
        return ending is not None and ending.outcome == "client_gone"

    await eventually(cancelled, "the upstream sees the cancellation")
    family = await world.families.of(request_id)
    assert family.sizes == (1, 1, 1)
    assert family.log["outcome"] == "client_aborted"
    assert family.sole_analytics["usage_source"] == "estimated"


@pytest.mark.parametrize(
    "path", ["/llm/call/gpt/v1/../../api", "/llm/call/gpt//v1/chat", "/llm/call/gpt/v1/%2e%2e/x"]
)
async def test_a_path_that_climbs_is_refused(world: World, path: str) -> None:
    answer = await world.exchange(world.request(b"{}", path=path))
    assert answer.status in (400, 403), answer


async def test_huge_limits_in_a_body_are_no_defect_of_ours(world: World) -> None:
    huge = QUESTION | {"max_tokens": 2**53 - 1, "n": 2000}
    answer = await world.client.post(CHAT, json=huge)
    assert answer.status_code == 200
    assert (await world.families.of(answer.headers["x-request-id"])).sizes == (1, 1, 1)


async def test_an_empty_model_is_replaced_by_the_default_and_not_passed_on(world: World) -> None:
    door = await world.door(default_model="gpt-4o")
    answer = await world.ask(door, model="")
    assert answer.status_code == 200
    assert world.upstream.calls()[-1].model == "gpt-4o"


async def test_rest_takes_no_stream_and_stream_nothing_else(world: World) -> None:
    refused = await world.client.post(CHAT.replace("call", "rest"), json=QUESTION | {"stream": True})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "streaming_not_allowed")
    refused = await world.client.post(CHAT.replace("call", "stream"), json=QUESTION)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "streaming_required")


async def test_unknown_fields_and_a_config_against_its_schema_are_named(world: World) -> None:
    answer = await world.gateway.api.post("/api/v1/llms", json={"name": "x", "vendr": "openai"})
    assert answer.status_code in (400, 422)
    assert "vendr" in answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")


async def test_no_answer_and_no_log_line_shows_a_key_or_our_insides(world: World) -> None:
    nobody = await world.door(f"http://127.0.0.1:{free_port()}")
    answers = [
        await world.ask(nobody),
        await world.client.post(CHAT, content=b"{"),
        await world.gateway.api.get("/api/v1/llms"),
        await world.gateway.api.post("/api/v1/llms", content=b"\x00{"),
    ]
    for answer in answers:
        assert not any(secret in answer.text for secret in SECRET_KEYS), answer.text
    log = world.gateway.log_path.read_text()
    assert DEFAULT_KEY not in log
    assert world.caller.secret not in log
