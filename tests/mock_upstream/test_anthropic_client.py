"""The real ``anthropic`` client package understands everything the mock says in Anthropic's name."""

from __future__ import annotations

import anthropic as anthropic_package
import httpx2
import pytest
from anthropic import AsyncAnthropic

from weir_cli.mock_upstream.ledger import LedgerCall
from weir_cli.mock_upstream.process import DEFAULT_KEY, RunningMock

ASK = {"model": "claude-haiku-4-5", "max_tokens": 64, "messages": [{"role": "user", "content": "hello"}]}
WEATHER = {
    "name": "get_weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}
USAGE = {
    "x-mock-prompt-tokens": "1000",
    "x-mock-cache-read-tokens": "600",
    "x-mock-cache-write-tokens": "100",
    "x-mock-response-tokens": "50",
    "x-mock-reasoning-tokens": "30",
}


def entry(mock: RunningMock, answer_id: str) -> LedgerCall:
    [found] = [call for call in mock.calls() if call.id == answer_id]
    return found


async def test_a_message_reports_what_was_cached_beside_the_input_not_within_it(
    anthropic: AsyncAnthropic, mock: RunningMock
) -> None:
    answer = await anthropic.messages.create(**ASK, extra_headers=USAGE)
    assert answer.content[0].text
    assert answer.stop_reason == "end_turn"
    usage = answer.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (
        300,
        600,
        100,
    )
    assert usage.output_tokens == 50
    assert usage.output_tokens_details.thinking_tokens == 30
    noted = entry(mock, answer.id)
    assert noted.usage is not None
    assert noted.usage.prompt_tokens == 1000
    assert noted.upstream_request_id == answer._request_id


async def test_a_streamed_message_is_put_together_by_the_clients_own_helper(
    anthropic: AsyncAnthropic,
) -> None:
    whole = await anthropic.messages.create(**ASK, extra_headers=USAGE)
    async with anthropic.messages.stream(**ASK, extra_headers=USAGE) as stream:
        texts = [text async for text in stream.text_stream]
        final = await stream.get_final_message()
    assert "".join(texts) == whole.content[0].text
    assert len(texts) == 12
    assert final.usage.output_tokens == 50
    assert final.usage.input_tokens == 300


async def test_the_first_event_already_counts_output_and_later_counters_are_totals(
    anthropic: AsyncAnthropic,
) -> None:
    headers = USAGE | {"x-mock-shape": "cumulative_usage"}
    stream = await anthropic.messages.create(**ASK, stream=True, extra_headers=headers)
    events = [event async for event in stream]
    assert events[0].message.usage.output_tokens == 1
    counters = [event.usage.output_tokens for event in events if event.type == "message_delta"]
    assert counters == [16, 33, 50]


async def test_offered_tools_are_used_whole_and_streamed(anthropic: AsyncAnthropic) -> None:
    whole = await anthropic.messages.create(**ASK, tools=[WEATHER])
    assert whole.stop_reason == "tool_use"
    assert whole.content[0].input == {"city": "mock"}
    async with anthropic.messages.stream(**ASK, tools=[WEATHER]) as stream:
        final = await stream.get_final_message()
    assert final.content[0].type == "tool_use"
    assert final.content[0].input == {"city": "mock"}


async def test_a_tools_result_is_answered_with_text(anthropic: AsyncAnthropic) -> None:
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "rain"}
    turns = [*ASK["messages"], {"role": "user", "content": [result]}]
    answer = await anthropic.messages.create(**(ASK | {"messages": turns}), tools=[WEATHER])
    assert answer.content[0].type == "text"


async def test_tokens_are_counted_without_consuming_any(anthropic: AsyncAnthropic, mock: RunningMock) -> None:
    answer = await anthropic.messages.with_raw_response.count_tokens(
        model=ASK["model"], messages=ASK["messages"], extra_headers={"x-mock-prompt-tokens": "42"}
    )
    assert (await answer.parse()).input_tokens == 42
    [noted] = [call for call in mock.calls() if call.upstream_request_id == answer.headers["request-id"]]
    assert (noted.operation, noted.usage) == ("count_tokens", None)


async def test_models_are_listed_and_fetched_by_name(anthropic: AsyncAnthropic) -> None:
    names = [model.id async for model in anthropic.models.list()]
    assert "claude-haiku-4-5" in names
    assert (await anthropic.models.retrieve("claude-haiku-4-5")).type == "model"
    with pytest.raises(anthropic_package.NotFoundError):
        await anthropic.models.retrieve("claude-0")


async def test_another_key_than_the_vendors_is_refused(mock: RunningMock) -> None:
    async with AsyncAnthropic(base_url=mock.url, api_key="wk_client_secret", max_retries=0) as client:
        with pytest.raises(anthropic_package.AuthenticationError, match="x-api-key"):
            await client.messages.create(**ASK)


async def test_a_call_without_a_version_header_is_refused(mock: RunningMock) -> None:
    async with httpx2.AsyncClient(base_url=mock.url) as client:
        answer = await client.post("/v1/messages", json=ASK, headers={"x-api-key": DEFAULT_KEY})
    assert answer.status_code == 400
    assert "anthropic-version" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, anthropic_package.BadRequestError, "invalid_request_error"),
        (429, anthropic_package.RateLimitError, "rate_limit_error"),
        (500, anthropic_package.InternalServerError, "api_error"),
        (529, anthropic_package.InternalServerError, "overloaded_error"),
    ],
)
async def test_a_wanted_error_raises_the_clients_own_class(
    anthropic: AsyncAnthropic, status: int, error: type[anthropic_package.APIStatusError], kind: str
) -> None:
    with pytest.raises(error) as caught:
        await anthropic.messages.create(**ASK, extra_headers={"x-mock-status": str(status)})
    assert caught.value.body["error"]["type"] == kind
    assert caught.value.request_id == caught.value.body["request_id"]


async def test_an_error_in_mid_stream_raises_in_the_client(anthropic: AsyncAnthropic) -> None:
    stream = await anthropic.messages.create(
        **ASK, stream=True, extra_headers={"x-mock-shape": "error_event"}
    )
    with pytest.raises(anthropic_package.APIStatusError, match="told to fail"):
        async for _ in stream:
            pass
