"""Hostile, broken and oversized input: clear errors, nothing leaked, nothing lost that was admitted."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from tests.support.gateway import Gateway, eventually, free_port, running_gateway
from tests.support.records import Families

from weir_cli.mock_upstream.process import DEFAULT_KEY, RunningMock, running

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

CHAT = "/llm/call/gpt/v1/chat/completions"
QUESTION: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}
SECRET_KEYS = (DEFAULT_KEY, "Traceback", "site-packages")


@dataclass
class World:
    gateway: Gateway
    upstream: RunningMock
    secret: str
    client: httpx2.AsyncClient
    families: Families

    async def raw(self, request: bytes) -> bytes:
        """Send bytes as they are and read until the gateway closes or has answered once."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.gateway.port)
        writer.write(request)
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
        length = next(
            (
                int(line.split(b":")[1])
                for line in head.split(b"\r\n")
                if line.lower().startswith(b"content-length")
            ),
            0,
        )
        body = await reader.readexactly(length)
        writer.close()
        return head + body

    def request(self, body: bytes, *headers: str, path: str = CHAT) -> bytes:
        lines = [f"POST {path} HTTP/1.1", "host: gateway", f"content-length: {len(body)}", *headers]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningMock]:
    with running(tmp_path_factory.mktemp("upstream") / "calls.jsonl") as mock:
        yield mock


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory, upstream: RunningMock) -> AsyncIterator[World]:
    data_dir = tmp_path_factory.mktemp("weir") / "data"
    async with running_gateway(data_dir, header_timeout="1", body_timeout="1") as gateway:
        llm = await gateway.create(
            "llms", name="gpt", slug="gpt", vendor="openai", api_endpoint=upstream.url, api_key=DEFAULT_KEY
        )
        gone = f"http://127.0.0.1:{free_port()}"
        dead = await gateway.create(
            "llms", name="dead", slug="dead", vendor="openai", api_endpoint=gone, api_key=DEFAULT_KEY
        )
        caller = await gateway.caller(llm["id"], dead["id"])
        headers = {"authorization": f"Bearer {caller.secret}"}
        async with httpx2.AsyncClient(base_url=gateway.url, headers=headers, timeout=30.0) as client:
            families = Families(gateway, gateway.url + CHAT, caller.secret)
            yield World(gateway, upstream, caller.secret, client, families)


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
    body = json.dumps(QUESTION).encode()
    filled = [header.format(secret=world.secret) for header in headers]
    answer = await world.raw(world.request(body, *filled))
    assert answer.startswith(b"HTTP/1.1 400 "), answer[:200]
    assert b"Traceback" not in answer


async def test_a_hundred_megabytes_are_refused_without_being_swallowed_first(world: World) -> None:
    head = world.request(b"", f"authorization: Bearer {world.secret}").replace(
        b"content-length: 0", b"content-length: 104857600"
    )
    answer = await world.raw(head)
    assert answer.startswith(b"HTTP/1.1 413 "), answer[:200]
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "request_too_large"


async def test_a_chunked_body_over_the_limit_is_refused_too(world: World) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b" " * 1024 * 1024

    answer = await world.client.post(CHAT, content=endless())
    assert answer.status_code == 413


async def test_an_unreachable_upstream_is_a_502_that_leaves_its_events(world: World) -> None:
    answer = await world.client.post("/llm/call/dead/v1/chat/completions", json=QUESTION)
    assert answer.status_code == 502
    assert answer.json()["error"]["code"] == "upstream_unreachable"
    assert DEFAULT_KEY not in answer.text
    family = await world.families.of(answer.headers["x-request-id"])
    assert family.sizes == (1, 1, 1)
    assert family.log["outcome"] == "upstream_error"
    assert family.sole_budget["tokens_used"] == 0


async def test_headers_that_drip_in_are_cut_off(world: World) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", world.gateway.port)
    writer.write(f"POST {CHAT} HTTP/1.1\r\nhost: a\r\n".encode())

    async def drip() -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(b"x-a: b\r\n")
                await writer.drain()
                await asyncio.sleep(0.05)  # the drip

    dripping = asyncio.create_task(drip())
    assert (await asyncio.wait_for(reader.readuntil(b"\r\n"), 20)).startswith(b"HTTP/1.1 408 ")
    dripping.cancel()
    writer.close()


async def test_a_body_that_never_ends_is_a_408_that_leaves_its_event(world: World) -> None:
    body = world.request(b"half", f"authorization: Bearer {world.secret}").replace(
        b"content-length: 4", b"content-length: 400"
    )
    answer = await world.raw(body)
    assert answer.startswith(b"HTTP/1.1 408 ")
    request_id = next(
        line.split(b": ")[1].decode() for line in answer.split(b"\r\n") if line.startswith(b"x-request-id")
    )
    assert (await world.families.of(request_id)).log["response_code"] == 408


async def test_a_client_that_closes_its_half_leaves_one_settled_call(world: World) -> None:
    before = {record["request_id"] for record in await world.gateway.records("proxy-logs")}
    body = json.dumps(QUESTION | {"user": "mock:first_byte_ms=300"}).encode()
    _, writer = await asyncio.open_connection("127.0.0.1", world.gateway.port)
    writer.write(world.request(body, f"authorization: Bearer {world.secret}"))
    writer.write_eof()
    found: list[dict[str, Any]] = []

    async def left() -> bool:
        nonlocal found
        found = [r for r in await world.gateway.records("proxy-logs") if r["request_id"] not in before]
        return bool(found)

    await eventually(left, "the call's proxy log")
    writer.close()
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
    answer = await world.raw(world.request(b"{}", f"authorization: Bearer {world.secret}", path=path))
    assert answer.split(b" ")[1] in (b"400", b"403"), answer[:200]


async def test_huge_limits_in_a_body_are_no_defect_of_ours(world: World) -> None:
    huge = QUESTION | {"max_tokens": 2**53 - 1, "n": 2000}
    answer = await world.client.post(CHAT, json=huge)
    assert answer.status_code == 200
    assert (await world.families.of(answer.headers["x-request-id"])).sizes == (1, 1, 1)


async def test_an_empty_model_is_replaced_by_the_default_and_not_passed_on(world: World) -> None:
    llm = await world.gateway.create(
        "llms",
        name="default",
        slug="default",
        vendor="openai",
        api_endpoint=world.upstream.url,
        api_key=DEFAULT_KEY,
        default_model="gpt-4o",
    )
    caller = await world.gateway.caller(llm["id"])
    answer = await world.client.post(
        CHAT.replace("gpt", "default"),
        json=QUESTION | {"model": ""},
        headers={"authorization": f"Bearer {caller.secret}"},
    )
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
    answers = [
        await world.client.post("/llm/call/dead/v1/chat/completions", json=QUESTION),
        await world.client.post(CHAT, content=b"{"),
        await world.gateway.api.get("/api/v1/llms"),
        await world.gateway.api.post("/api/v1/llms", content=b"\x00{"),
    ]
    for answer in answers:
        assert not any(secret in answer.text for secret in SECRET_KEYS), answer.text
    log = world.gateway.log_path.read_text()
    assert DEFAULT_KEY not in log
    assert world.secret not in log


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 48 MiB, where this user may mount one."""
    mount = tmp_path / "disk"
    mount.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(mount)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"this user may not mount a tmpfs: {mounted.stderr.decode().strip()}")
    try:
        yield mount
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=True)


async def test_a_full_disk_refuses_new_calls_and_loses_none_that_was_admitted(
    small_disk: Path, upstream: RunningMock
) -> None:
    settings = {"spool_segment_bytes": str(1024 * 1024), "max_in_flight": "64"}
    async with running_gateway(small_disk / "data", **settings) as gateway:
        llm = await gateway.create(
            "llms", name="gpt", slug="gpt", vendor="openai", api_endpoint=upstream.url, api_key=DEFAULT_KEY
        )
        caller = await gateway.caller(llm["id"])
        served = []
        headers = {"authorization": f"Bearer {caller.secret}"}
        async with httpx2.AsyncClient(base_url=gateway.url, headers=headers) as client:
            filler = small_disk / "filler"
            _fill(filler)
            refused = None
            for _ in range(2000):
                answer = await client.post(CHAT, json=QUESTION | {"user": "x" * 4000})
                if answer.status_code != 200:
                    refused = answer
                    break
                served.append(answer.headers["x-request-id"])
            assert refused is not None, "the disk never became full"
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "spool_full")
            assert refused.headers["retry-after"]
            filler.unlink()

            async def serves() -> bool:
                answer = await client.post(CHAT, json=QUESTION)
                if answer.status_code == 200:
                    served.append(answer.headers["x-request-id"])
                return answer.status_code == 200

            await eventually(serves, "it serves again when there is room")
        await Families(gateway, gateway.url + CHAT, caller.secret).settled()
        for kind in ("proxy-logs", "analytics", "budget-usage"):
            recorded = {record["request_id"] for record in await gateway.recorded(kind, len(served))}
            assert set(served) <= recorded


def _fill(path: Path) -> None:
    with path.open("wb") as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * 65536)
            file.flush()
