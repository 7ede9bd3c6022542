"""The anthropic package calls through the gateway, and each call leaves what the contract promises."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal

import anthropic
import pytest
import pytest_asyncio
from tests.support.world import World

pytestmark = [pytest.mark.clients, pytest.mark.asyncio(loop_scope="session")]

MODEL = "claude-sonnet-4-6"
QUESTION = [{"role": "user", "content": "How deep is the weir?"}]
TOOLS = [{"name": "depth", "input_schema": {"type": "object", "properties": {"at": {"type": "string"}}}}]


@pytest_asyncio.fixture(loop_scope="session")
async def client(world: World) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(
        base_url=world.url("claude"), api_key=world.caller.secret, max_retries=0
    ) as made:
        yield made


def usage(**fields: int) -> dict[str, str]:
    return {"user_id": "mock:" + "&".join(f"{name}={value}" for name, value in fields.items())}


async def test_a_json_answer_is_counted_with_its_cache_reads_and_writes(
    world: World, client: anthropic.AsyncAnthropic
) -> None:
    answer = await client.messages.create(
        model=MODEL,
        max_tokens=100,
        messages=QUESTION,
        metadata=usage(
            prompt_tokens=3000, cache_read_tokens=1000, cache_write_tokens=500, response_tokens=200
        ),
    )
    assert answer.usage.input_tokens == 1500
    assert answer._request_id
    family = await world.families.of(answer._request_id)
    assert family.sizes == (1, 1, 1)
    analytics = family.sole_analytics
    assert (analytics["prompt_tokens"], analytics["response_tokens"]) == (3000, 200)
    assert (analytics["cache_read_tokens"], analytics["cache_write_tokens"]) == (1000, 500)
    # Dollars per million tokens: 3 input, 0.30 cache read, 3.75 cache write, 15 output.
    dollars = 1500 * Decimal(3) + 1000 * Decimal("0.3") + 500 * Decimal("3.75") + 200 * Decimal(15)
    assert Decimal(analytics["cost"]) == dollars / 1_000_000
    assert family.sole_budget["tokens_used"] == 3200


async def test_a_stream_is_counted_by_its_last_counters(
    world: World, client: anthropic.AsyncAnthropic
) -> None:
    async with client.messages.stream(
        model=MODEL,
        max_tokens=100,
        messages=QUESTION,
        metadata=usage(prompt_tokens=800, response_tokens=60, chunks=7),
    ) as stream:
        message = await stream.get_final_message()
        request_id = stream.response.headers["x-request-id"]
    assert message.content
    family = await world.families.of(request_id)
    assert family.sizes == (1, 1, 1)
    assert (family.log["outcome"], family.log["stream"]) == ("served", True)
    assert (family.sole_analytics["prompt_tokens"], family.sole_analytics["response_tokens"]) == (800, 60)
    assert family.sole_analytics["usage_source"] == "provider"


async def test_tool_use_passes_and_is_counted(world: World, client: anthropic.AsyncAnthropic) -> None:
    answer = await client.messages.create(model=MODEL, max_tokens=100, messages=QUESTION, tools=TOOLS)
    assert [block.name for block in answer.content if block.type == "tool_use"] == ["depth"]
    assert answer._request_id
    analytics = (await world.families.of(answer._request_id)).sole_analytics
    assert (analytics["tool_calls"], analytics["finish_reasons"]) == (1, ["tool_use"])


async def test_counting_tokens_costs_nothing(world: World, client: anthropic.AsyncAnthropic) -> None:
    raw = await client.messages.with_raw_response.count_tokens(model=MODEL, messages=QUESTION)
    assert (await raw.parse()).input_tokens > 0
    assert (await world.families.of(raw.headers["x-request-id"])).sizes == (1, 1, 0)


async def test_a_wrong_key_raises_the_packages_own_class(world: World) -> None:
    async with anthropic.AsyncAnthropic(
        base_url=world.url("claude"), api_key="nope", max_retries=0
    ) as client:
        with pytest.raises(anthropic.AuthenticationError) as caught:
            await client.messages.create(model=MODEL, max_tokens=10, messages=QUESTION)
    family = await world.families.of(caught.value.response.headers["x-request-id"])
    assert family.sizes == (1, 0, 0)


async def test_an_overloaded_upstream_raises_the_packages_own_class(
    world: World, client: anthropic.AsyncAnthropic
) -> None:
    with pytest.raises(anthropic.InternalServerError):
        await client.messages.create(model="mock-overloaded", max_tokens=10, messages=QUESTION)


async def test_an_operation_outside_the_table_is_refused(
    world: World, client: anthropic.AsyncAnthropic
) -> None:
    with pytest.raises(anthropic.PermissionDeniedError) as caught:
        await client.messages.batches.list()
    family = await world.families.of(caught.value.response.headers["x-request-id"])
    assert family.log["outcome"] == "denied"
