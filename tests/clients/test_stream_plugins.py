"""Response plugins over streams, as the vendors' own clients see them and as the events tell."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from tests.support.gateway import eventually
from tests.support.world import Door, World

pytestmark = [pytest.mark.clients, pytest.mark.asyncio(loop_scope="session")]

MODEL = "gpt-4o-mini"
CLAUDE = "claude-sonnet-4-6"
WORDS = "This answer was made up by the mock upstream, one word a chunk. "
QUESTION: list[Any] = [{"role": "user", "content": "Say it."}]


Attached = tuple[str, dict[str, Any], dict[str, Any]]


@pytest.fixture
def hosting(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], str]:
    """Gives a plugin class its command: in the worker's process, or in a process of its own."""

    def command(cls: str) -> str:
        if request.param == "python":
            return in_process(cls)
        script = tmp_path / f"{cls.lower()}.py"
        script.write_text(
            f"from weir_stream_plugins import {cls}\n\nfrom weir_sdk import serve\n\nserve({cls})\n"
        )
        return f"file://{script}"

    return command


def in_process(cls: str) -> str:
    return f"python://weir_stream_plugins:{cls}"


async def attach(
    world: World, door: Door, *plugins: Attached, command: Callable[[str], str] = in_process
) -> None:
    """Attach plugins, each with its config and the fields of its attachment, in this order."""
    attached = []
    for cls, config, attachment in plugins:
        name = f"{cls.lower()}-{next(world.numbers)}"
        plugin = await world.gateway.create(
            "plugins",
            name=name,
            slug=name,
            command=command(cls),
            hook_types=["on_response"],
            config=config,
        )
        attached.append({"plugin_id": plugin["id"], **attachment})
    await world.gateway.write("PUT", f"llms/{door.llm_id}/plugins", plugins=attached)
    for item in attached:
        await world.gateway.hosted(item["plugin_id"])


@asynccontextmanager
async def openai_client(world: World, door: Door) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(
        base_url=world.url(door.slug) + "/v1", api_key=door.caller.secret, max_retries=0
    ) as client:
        yield client


async def said(world: World, door: Door, vendor: str, mock: str = "chunks=13") -> tuple[str, str]:
    """What a streamed answer says, and its request id."""
    if vendor == "anthropic":
        async with (
            anthropic.AsyncAnthropic(
                base_url=world.url(door.slug), api_key=door.caller.secret, max_retries=0
            ) as claude,
            claude.messages.stream(
                model=CLAUDE, max_tokens=100, messages=QUESTION, metadata={"user_id": f"mock:{mock}"}
            ) as stream,
        ):
            text = "".join([piece async for piece in stream.text_stream])
            return text, stream.response.headers["request-id"]
    async with openai_client(world, door) as client:
        chunks = await client.chat.completions.create(
            model=MODEL, messages=QUESTION, stream=True, user=f"mock:{mock}"
        )
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in chunks if chunk.choices])
        return text, chunks.response.headers["x-request-id"]


@pytest.mark.parametrize(
    ("vendor", "hosting"),
    [("openai", "python"), ("anthropic", "python"), ("openai", "file")],
    indirect=["hosting"],
)
async def test_plugins_rewrite_swallow_and_hold_back_what_the_client_is_told(
    world: World, vendor: str, hosting: Callable[[str], str]
) -> None:
    door = await world.door(vendor=vendor)
    await attach(world, door, ("Replacing", {"from": "mock", "to": "REAL"}, {}), command=hosting)
    text, request_id = await said(world, door, vendor)
    assert text == WORDS.replace("mock", "REAL")
    family = await world.families.of(request_id)
    assert family.sizes == (1, 1, 1)
    assert "REAL" in family.log["response_body"]
    assert family.log["outcome"] == "served"
    await attach(world, door, ("Swallowing", {"word": "mock"}, {}), command=hosting)
    text, _ = await said(world, door, vendor)
    assert text == WORDS.replace("mock ", "")
    await attach(
        world,
        door,
        ("Replacing", {"from": "mock", "to": "REAL"}, {}),
        ("Holding", {}, {}),
        command=hosting,
    )
    text, request_id = await said(world, door, vendor)
    assert text.split() == WORDS.replace("mock", "REAL").split()[::-1]
    assert (await world.families.of(request_id)).sole_analytics["usage_source"] == "provider"


@pytest.mark.parametrize(
    ("vendor", "hosting"), [("anthropic", "python"), ("openai", "file")], indirect=["hosting"]
)
async def test_a_buffering_plugin_works_on_the_whole_and_later_plugins_on_its_events(
    world: World, vendor: str, hosting: Callable[[str], str]
) -> None:
    door = await world.door(vendor=vendor)
    await attach(
        world,
        door,
        ("Wrapping", {}, {"stream_mode": "buffer"}),
        ("Replacing", {"from": "mock", "to": "REAL"}, {}),
        command=hosting,
    )
    text, request_id = await said(world, door, vendor, mock="chunks=12&chunk_text=made up mock ")
    assert text == "checked REAL " * 12
    log = (await world.families.of(request_id)).log
    assert log["response_body"].startswith(": ")
    assert log["outcome"] == "served"


@pytest.mark.parametrize("hosting", ["python", "file"], indirect=["hosting"])
async def test_a_plugin_that_fails_open_in_mid_stream_costs_the_client_nothing(
    world: World, hosting: Callable[[str], str]
) -> None:
    door = await world.door()
    await attach(
        world,
        door,
        ("Breaking", {"word": "mock"}, {"on_error": "fail_open"}),
        ("Replacing", {"from": "mock", "to": "REAL"}, {}),
        command=hosting,
    )
    text, request_id = await said(world, door, "openai")
    assert text == WORDS.replace("mock", "REAL")
    assert (await world.families.of(request_id)).log["outcome"] == "served"


@pytest.mark.parametrize(
    ("vendor", "hosting"), [("openai", "python"), ("anthropic", "file")], indirect=["hosting"]
)
async def test_a_guard_that_fails_in_mid_stream_ends_it_with_an_error_and_the_call_is_settled(
    world: World, vendor: str, hosting: Callable[[str], str]
) -> None:
    door = await world.door(vendor=vendor)
    guard = ("Breaking", {"word": "upstream"}, {"on_error": "fail_closed"})
    await attach(world, door, guard, command=hosting)
    with pytest.raises((openai.APIError, anthropic.APIError)) as caught:
        await said(world, door, vendor)
    assert "guards this LLM and failed" in str(caught.value)
    assert "secret-detail" not in str(caught.value)
    log = (await world.gateway.recorded("proxy-logs", 1, llm_id=door.llm_id))[0]
    family = await world.families.of(log["request_id"])
    assert family.sizes == (1, 1, 1)
    assert (log["outcome"], log["response_code"]) == ("blocked", 200)
    assert log["blocked_by"].startswith("breaking-")
    assert "mock" in log["response_body"]
    assert "upstream, " not in log["response_body"]
    assert family.sole_budget["tokens_used"] > 0


@pytest.mark.parametrize("hosting", ["python", "file"], indirect=["hosting"])
async def test_plugins_are_told_of_a_finished_stream_and_of_one_that_the_client_left(
    world: World, tmp_path: Path, hosting: Callable[[str], str]
) -> None:
    notes = tmp_path / "notes.jsonl"
    door = await world.door()
    await attach(
        world,
        door,
        ("Replacing", {"from": "mock", "to": "REAL"}, {}),
        ("Noting", {"file": str(notes)}, {"stream_mode": "off"}),
        command=hosting,
    )

    async def noted(count: int) -> list[dict[str, Any]]:
        async def enough() -> bool:
            return notes.exists() and len(notes.read_text().splitlines()) >= count

        await eventually(enough, f"{count} notes")
        return [json.loads(line) for line in notes.read_text().splitlines()]

    _, request_id = await said(world, door, "openai")
    [note] = await noted(1)
    log = (await world.families.of(request_id)).log
    body = log["response_body"].encode()
    assert note == {
        "request_id": request_id,
        "bytes": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
        "chunk_count": log["chunk_count"],
        "asked": MODEL,
    }
    async with openai_client(world, door) as client:
        stream = await client.chat.completions.create(
            model=MODEL, messages=QUESTION, stream=True, user="mock:chunks=1000&chunk_ms=10"
        )
        await anext(aiter(stream))
        request_id = stream.response.headers["x-request-id"]
        await stream.close()
    *_, note = await noted(2)
    log = (await world.families.of(request_id)).log
    assert log["outcome"] == "client_aborted"
    assert (note["request_id"], note["chunk_count"]) == (request_id, log["chunk_count"])
    assert note["sha256"] == hashlib.sha256(log["response_body"].encode()).hexdigest()


async def test_attachments_with_overrides_of_their_own_have_instances_of_their_own(world: World) -> None:
    doors = [await world.door(), await world.door()]
    name = f"replacing-{next(world.numbers)}"
    plugin = await world.gateway.create(
        "plugins",
        name=name,
        slug=name,
        command="python://weir_stream_plugins:Replacing",
        hook_types=["on_response"],
        config={"from": "mock", "to": "REAL"},
    )
    for door, override in zip(doors, ({}, {"to": "TRUE"}), strict=True):
        attached = [{"plugin_id": plugin["id"], "config_override": override}]
        await world.gateway.write("PUT", f"llms/{door.llm_id}/plugins", plugins=attached)
    texts = await asyncio.gather(*(said(world, door, "openai") for door in doors))
    assert [text for text, _ in texts] == [WORDS.replace("mock", "REAL"), WORDS.replace("mock", "TRUE")]


@pytest.mark.parametrize("stream", [False, True])
async def test_redacted_bodies_reach_the_record_masked_and_the_client_as_they_are(
    world: World, stream: bool
) -> None:
    door = await world.door(body_capture="redacted")
    async with openai_client(world, door) as client:
        answer: Any = await client.chat.completions.with_raw_response.create(
            model=MODEL,
            messages=[{"role": "user", "content": "I am alice@example.com, my key is sk-abcdef0123456789"}],
            stream=stream,
            user="mock:chunks=4&chunk_text=4242",
        )
        request_id = answer.headers["x-request-id"]
        if stream:
            chunks = [chunk async for chunk in answer.parse() if chunk.choices]
            text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        else:
            text = answer.parse().choices[0].message.content
    assert text == "4242424242424242"
    log = (await world.families.of(request_id)).log
    assert json.loads(log["request_body"])["messages"][0]["content"] == (
        "I am [redacted email], my key is [redacted secret]"
    )
    assert '"4242' not in log["response_body"]
    assert log["response_body"].count("[redacted card]") == 1


async def test_the_stricter_wish_of_llm_and_app_counts_and_none_keeps_no_hash(world: World) -> None:
    door = await world.door(body_capture="redacted")
    await world.gateway.write("PATCH", f"apps/{door.caller.app_id}", body_capture="none")
    headers = {"authorization": f"Bearer {door.caller.secret}"}
    async with httpx2.AsyncClient(base_url=world.gateway.url, headers=headers) as client:
        answer = await client.post(door.path, json={"model": MODEL, "messages": QUESTION})
    log = (await world.families.of(answer.headers["x-request-id"])).log
    for kind in ("request", "response"):
        assert log[f"{kind}_body"] is None
        assert log[f"{kind}_body_sha256"] is None
        assert not log[f"{kind}_body_truncated"]
        assert log[f"{kind}_bytes"] > 0
