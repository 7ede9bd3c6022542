"""The openai package calls through the gateway, and each call leaves what the contract promises."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from decimal import Decimal

import openai
import pytest
import pytest_asyncio
from tests.support.world import World

from weir_cli.mock_upstream.process import DEFAULT_KEY

pytestmark = [pytest.mark.clients, pytest.mark.asyncio(loop_scope="session")]

MODEL = "gpt-4o-mini"
QUESTION = [{"role": "user", "content": "How deep is the weir?"}]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "depth",
            "parameters": {"type": "object", "properties": {"at": {"type": "string"}}},
        },
    }
]


@pytest_asyncio.fixture(loop_scope="session")
async def client(world: World) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(
        base_url=world.url("gpt") + "/v1", api_key=world.caller.secret, max_retries=0
    ) as made:
        yield made


def cost_of(prompt: int, response: int, cached: int = 0) -> Decimal:
    """gpt-4o-mini by its public price list: 0.15, 0.075 cached and 0.60 dollars per million tokens."""
    dollars = (prompt - cached) * Decimal("0.15") + cached * Decimal("0.075") + response * Decimal("0.6")
    return dollars / 1_000_000


async def test_a_json_answer_leaves_one_of_each_event_with_its_tokens_and_cost(
    world: World, client: openai.AsyncOpenAI
) -> None:
    answer = await client.chat.completions.create(
        model=MODEL, messages=QUESTION, user="mock:prompt_tokens=1200&response_tokens=340"
    )
    assert answer.choices[0].message.content
    assert answer._request_id
    family = await world.families.of(answer._request_id)
    assert family.sizes == (1, 1, 1)
    log, analytics, budget = family.log, family.sole_analytics, family.sole_budget
    assert (log["outcome"], log["response_code"], log["stream"]) == ("served", 200, False)
    assert (log["app_id"], log["user_id"], log["llm_slug"]) == (world.caller.app_id, "u-1", "gpt")
    assert json.loads(log["request_body"])["messages"] == QUESTION
    assert json.loads(log["response_body"])["id"] == answer.id
    assert (analytics["prompt_tokens"], analytics["response_tokens"], analytics["total_tokens"]) == (
        1200,
        340,
        1540,
    )
    assert analytics["usage_source"] == "provider"
    assert Decimal(analytics["cost"]) == Decimal(budget["cost"]) == cost_of(1200, 340)
    assert (budget["tokens_used"], budget["requests_count"]) == (1540, 1)
    assert len({event["event_id"] for event in (log, analytics, budget)}) == 3


async def test_cached_and_reasoning_tokens_are_counted_and_priced(
    world: World, client: openai.AsyncOpenAI
) -> None:
    answer = await client.chat.completions.create(
        model=MODEL,
        messages=QUESTION,
        user="mock:prompt_tokens=2000&cache_read_tokens=1024&response_tokens=50&reasoning_tokens=30",
    )
    assert answer._request_id
    analytics = (await world.families.of(answer._request_id)).sole_analytics
    assert (analytics["cache_read_tokens"], analytics["reasoning_tokens"]) == (1024, 30)
    assert (analytics["prompt_tokens"], analytics["response_tokens"]) == (2000, 50)
    assert Decimal(analytics["cost"]) == cost_of(2000, 50, cached=1024)


async def test_a_stream_passes_whole_and_is_counted_though_the_client_did_not_ask_for_usage(
    world: World, client: openai.AsyncOpenAI
) -> None:
    stream = await client.chat.completions.create(
        model=MODEL, messages=QUESTION, stream=True, user="mock:prompt_tokens=900&response_tokens=77&chunks=9"
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)
    family = await world.families.of(stream.response.headers["x-request-id"])
    assert family.sizes == (1, 1, 1)
    assert (family.log["outcome"], family.log["stream"]) == ("served", True)
    assert family.log["chunk_count"] == len(chunks) + 1
    assert family.log["response_body"].endswith("data: [DONE]\n\n")
    assert (family.sole_analytics["prompt_tokens"], family.sole_analytics["response_tokens"]) == (900, 77)
    assert Decimal(family.sole_budget["cost"]) == cost_of(900, 77)


async def test_a_client_that_asks_for_the_usage_chunk_gets_it(
    world: World, client: openai.AsyncOpenAI
) -> None:
    stream = await client.chat.completions.create(
        model=MODEL,
        messages=QUESTION,
        stream=True,
        stream_options={"include_usage": True},
        user="mock:prompt_tokens=10&response_tokens=20",
    )
    chunks = [chunk async for chunk in stream]
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 30


@pytest.mark.parametrize("stream", [False, True])
async def test_tool_calls_pass_and_are_counted(
    world: World, client: openai.AsyncOpenAI, stream: bool
) -> None:
    if stream:
        events = await client.chat.completions.create(
            model=MODEL, messages=QUESTION, tools=TOOLS, stream=True
        )
        names = [
            call.function.name
            async for chunk in events
            for call in chunk.choices[0].delta.tool_calls or []
            if call.function and call.function.name
        ]
        request_id = events.response.headers["x-request-id"]
    else:
        answer = await client.chat.completions.create(model=MODEL, messages=QUESTION, tools=TOOLS)
        names = [call.function.name for call in answer.choices[0].message.tool_calls or []]
        request_id = answer._request_id or ""
    assert names == ["depth"]
    analytics = (await world.families.of(request_id)).sole_analytics
    assert analytics["tool_calls"] == 1
    assert analytics["finish_reasons"] == ["tool_calls"]


async def test_responses_and_embeddings_and_completions_are_metered_too(
    world: World, client: openai.AsyncOpenAI
) -> None:
    response = await client.responses.create(model=MODEL, input="hello")
    embedding = await client.embeddings.create(
        model="text-embedding-3-small", input="hello", encoding_format="float"
    )
    completion = await client.completions.create(model="gpt-3.5-turbo-instruct", prompt="hello")
    assert response.usage
    assert completion.usage
    for request_id, tokens in (
        (response._request_id, response.usage.total_tokens),
        (embedding._request_id, embedding.usage.total_tokens),
        (completion._request_id, completion.usage.total_tokens),
    ):
        assert request_id
        family = await world.families.of(request_id)
        assert family.sizes == (1, 1, 1)
        assert family.sole_analytics["total_tokens"] == tokens > 0
        assert Decimal(family.sole_analytics["cost"]) > 0


async def test_a_streamed_response_object_is_metered(world: World, client: openai.AsyncOpenAI) -> None:
    stream = await client.responses.create(model=MODEL, input="hello", stream=True)
    events = [event async for event in stream]
    assert events[-1].type == "response.completed"
    assert events[-1].response.usage
    family = await world.families.of(stream.response.headers["x-request-id"])
    assert family.sizes == (1, 1, 1)
    assert family.sole_analytics["total_tokens"] == events[-1].response.usage.total_tokens


async def test_listing_models_is_recorded_and_costs_nothing(world: World, client: openai.AsyncOpenAI) -> None:
    raw = await client.models.with_raw_response.list()
    assert [model.id async for model in raw.parse()]
    family = await world.families.of(raw.headers["x-request-id"])
    assert family.sizes == (1, 1, 0)
    assert family.sole_analytics["usage_source"] == "none"
    assert family.sole_analytics["total_tokens"] == 0


async def test_an_upstream_error_reaches_the_client_as_the_vendors_own_class(
    world: World, client: openai.AsyncOpenAI
) -> None:
    with pytest.raises(openai.RateLimitError) as caught:
        await client.chat.completions.create(model="mock-rate-limited", messages=QUESTION)
    family = await world.families.of(caught.value.response.headers["x-request-id"])
    assert family.sizes == (1, 1, 1)
    assert (family.log["outcome"], family.log["response_code"]) == ("upstream_error", 429)
    assert (family.sole_analytics["total_tokens"], family.sole_budget["tokens_used"]) == (0, 0)


async def test_a_stream_that_the_upstream_cuts_is_an_error_to_the_client_and_is_settled(
    world: World, client: openai.AsyncOpenAI
) -> None:
    stream = await client.chat.completions.create(
        model=MODEL, messages=QUESTION, stream=True, user="mock:truncate_after_chunks=4&chunks=20"
    )
    with pytest.raises(openai.APIError):
        async for _ in stream:
            pass
    family = await world.families.of(stream.response.headers["x-request-id"])
    assert family.sizes == (1, 1, 1)
    assert family.log["outcome"] == "upstream_error"
    assert family.sole_analytics["usage_source"] == "estimated"
    assert family.sole_budget["tokens_used"] > 0


async def test_a_wrong_key_is_refused_and_leaves_only_a_proxy_log_without_bodies(world: World) -> None:
    async with openai.AsyncOpenAI(
        base_url=world.url("gpt") + "/v1", api_key="wk_no_such", max_retries=0
    ) as client:
        with pytest.raises(openai.AuthenticationError) as caught:
            await client.chat.completions.create(model=MODEL, messages=QUESTION)
    assert caught.value.code == "invalid_api_key"
    family = await world.families.of(caught.value.response.headers["x-request-id"])
    assert family.sizes == (1, 0, 0)
    assert (family.log["outcome"], family.log["response_code"], family.log["app_id"]) == ("denied", 401, None)
    assert family.log["request_body"] is None
    assert family.log["response_body"] is None


async def test_the_clients_key_never_reaches_the_vendor(world: World, client: openai.AsyncOpenAI) -> None:
    await client.chat.completions.create(model=MODEL, messages=QUESTION)
    seen = {secret for call in world.upstream.calls() for secret in call.credentials.values()}
    assert seen == {hashlib.sha256(DEFAULT_KEY.encode()).hexdigest()}


async def test_an_unknown_llm_is_a_404_in_openais_shape(world: World) -> None:
    async with openai.AsyncOpenAI(
        base_url=world.url("nowhere") + "/v1", api_key="x", max_retries=0
    ) as client:
        with pytest.raises(openai.NotFoundError) as caught:
            await client.chat.completions.create(model=MODEL, messages=QUESTION)
    assert caught.value.code == "llm_not_found"


async def test_the_by_id_route_takes_the_same_calls_and_says_what_a_management_token_is(world: World) -> None:
    base = f"{world.gateway.url}/api/v1/llms/{world.openai_id}/proxy/v1"
    async with openai.AsyncOpenAI(base_url=base, api_key=world.caller.secret, max_retries=0) as client:
        assert (await client.chat.completions.create(model=MODEL, messages=QUESTION)).choices
    token = (await world.gateway.create("tokens", name="t", role="viewer"))["secret"]
    async with openai.AsyncOpenAI(base_url=base, api_key=token, max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError, match="management token"):
            await client.chat.completions.create(model=MODEL, messages=QUESTION)
