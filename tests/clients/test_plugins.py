"""Plugins in a running gateway, seen by a real client and in the records."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import openai
import pytest
from tests.support.world import World

pytestmark = [pytest.mark.clients, pytest.mark.asyncio(loop_scope="session")]

MODEL = "gpt-4o-mini"


def question(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


@asynccontextmanager
async def guarded(
    world: World, cls: str, *hook_types: str, config: dict[str, Any] | None = None, **attachment: Any
) -> AsyncIterator[openai.AsyncOpenAI]:
    """A client of an LLM of its own with one plugin attached."""
    door = await world.door()
    await world.attach(door, cls, *hook_types, config=config, **attachment)
    async with openai.AsyncOpenAI(
        base_url=world.url(door.slug) + "/v1", api_key=door.caller.secret, max_retries=0
    ) as client:
        yield client


async def test_a_plugin_that_blocks_keeps_the_call_from_the_upstream(world: World) -> None:
    async with guarded(world, "Blocker", "pre_auth") as client:
        before = len(world.upstream.calls())
        with pytest.raises(openai.PermissionDeniedError, match="forbidden here") as caught:
            await client.chat.completions.create(model=MODEL, messages=question("something forbidden"))
        assert len(world.upstream.calls()) == before
        family = await world.families.of(caught.value.response.headers["x-request-id"])
        assert family.sizes == (1, 0, 0)
        assert family.log["outcome"] == "blocked"
        assert family.log["blocked_by"].startswith("blocker-")
        assert (await client.chat.completions.create(model=MODEL, messages=question("fine"))).choices


async def test_a_plugin_that_answers_serves_the_call_at_no_cost(world: World) -> None:
    async with guarded(world, "Cache", "post_auth") as client:
        raw = await client.chat.completions.with_raw_response.create(
            model=MODEL, messages=question("ping-the-cache")
        )
    assert raw.headers["x-cache"] == "hit"
    assert raw.parse().choices[0].message.content == "pong"
    family = await world.families.of(raw.headers["x-request-id"])
    assert family.sizes == (1, 1, 0)
    assert family.log["outcome"] == "served"
    assert (family.sole_analytics["total_tokens"], family.sole_analytics["usage_source"]) == (0, "none")
    assert family.sole_analytics["cost"] == "0"


async def test_a_plugin_changes_headers_and_bodies_both_ways_but_not_the_vendors_key(world: World) -> None:
    async with guarded(world, "Rewriter", "pre_auth", "post_auth", "on_response") as client:
        raw = await client.chat.completions.with_raw_response.create(model=MODEL, messages=question("hello"))
    request_id = raw.headers["x-request-id"]
    [call] = [call for call in world.upstream.calls() if call.headers.get("x-request-id") == request_id]
    assert call.headers["x-team"].startswith("app-")
    assert set(call.credentials) == {"authorization"}
    assert raw.headers["x-note"].endswith("/v1/chat/completions!")
    assert raw.headers["x-ratelimit-remaining"] == "41"
    assert json.loads(raw.text)["weir"] == "was here"
    log = (await world.families.of(request_id)).log
    assert json.loads(log["request_body"])["temperature"] == 0.25
    assert json.loads(log["response_body"])["weir"] == "was here"
    assert log["metadata"]["note"].endswith("!")
    assert list(log["latency_ms"]["plugins"])


async def test_a_key_in_the_query_is_in_no_event_even_with_a_plugin(world: World) -> None:
    async with guarded(world, "Rewriter", "pre_auth", "post_auth", "on_response") as client:
        key, path = client.api_key, str(client.base_url).removeprefix(world.gateway.url)
    async with httpx2.AsyncClient(base_url=world.gateway.url) as plain:
        answer = await plain.post(
            f"{path}chat/completions?key={key}", json={"model": MODEL, "messages": question("hello")}
        )
    assert answer.status_code == 200, answer.text
    family = await world.families.of(answer.headers["x-request-id"])
    assert key not in json.dumps([family.log, family.sole_analytics, family.sole_budget])


async def test_an_auth_plugin_replaces_the_credential_check(world: World) -> None:
    app = await world.gateway.create("apps", name="cave", llm_ids=[])
    async with guarded(world, "TokenAuth", "auth", config={"app_id": app["id"]}) as client:
        llm_id = max(
            llm["id"] for llm in (await world.gateway.api.get("/api/v1/llms?limit=100")).json()["data"]
        )
        ours = client.with_options(api_key="open-sesame")
        with pytest.raises(openai.PermissionDeniedError):
            await ours.chat.completions.create(model=MODEL, messages=question("hello"))
        await world.gateway.write("PATCH", f"apps/{app['id']}", llm_ids=[llm_id])
        answer = await ours.chat.completions.create(model=MODEL, messages=question("hello"))
        assert answer._request_id
        log = (await world.families.of(answer._request_id)).log
        assert (log["app_id"], log["user_id"], log["credential_id"]) == (app["id"], "ali", None)
        with pytest.raises(openai.AuthenticationError, match="Say the word"):
            await client.chat.completions.create(model=MODEL, messages=question("hello"))


@pytest.mark.parametrize(
    ("cls", "code"),
    [
        ("Raising", "plugin_error"),
        ("Rubbish", "plugin_error"),
        ("Hanging", "plugin_unavailable"),
        ("CannotStart", "plugin_unavailable"),
    ],
)
async def test_a_guard_that_does_not_work_lets_nobody_through(world: World, cls: str, code: str) -> None:
    async with guarded(world, cls, "post_auth", timeout_ms=300) as client:
        before = len(world.upstream.calls())
        with pytest.raises(openai.InternalServerError) as caught:
            await client.chat.completions.create(model=MODEL, messages=question("hello"))
        assert len(world.upstream.calls()) == before
    assert caught.value.code == code
    assert "secret-detail" not in caught.value.response.text
    family = await world.families.of(caught.value.response.headers["x-request-id"])
    assert family.sizes == (1, 0, 0)
    assert family.log["outcome"] == "blocked"


@pytest.mark.parametrize("cls", ["Raising", "Rubbish", "Hanging", "CannotStart"])
async def test_a_plugin_that_may_fail_open_is_passed_over(world: World, cls: str) -> None:
    async with guarded(world, cls, "post_auth", timeout_ms=300, on_error="fail_open") as client:
        answer = await client.chat.completions.create(model=MODEL, messages=question("hello"))
    assert answer.choices
