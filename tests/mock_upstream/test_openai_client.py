"""The real ``openai`` client package understands everything the mock says in OpenAI's name."""

from __future__ import annotations

import json

import openai as openai_package
import pytest
from openai import AsyncOpenAI

from weir_cli.mock_upstream.ledger import LedgerCall
from weir_cli.mock_upstream.process import DEFAULT_KEY, RunningMock

MESSAGES = [{"role": "user", "content": "hello"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "unit": {"enum": ["C", "F"]},
                "days": {"type": "integer"},
            },
        },
    },
}
USAGE = {"x-mock-prompt-tokens": "900", "x-mock-response-tokens": "70", "x-mock-cache-read-tokens": "512"}


def entry(mock: RunningMock, answer_id: str) -> LedgerCall:
    [found] = [call for call in mock.calls() if call.id == answer_id]
    return found


async def test_a_chat_completion_carries_text_usage_and_the_ledgers_id(
    openai: AsyncOpenAI, mock: RunningMock
) -> None:
    answer = await openai.chat.completions.create(
        model="gpt-4o-mini", messages=MESSAGES, extra_headers=USAGE | {"x-mock-reasoning-tokens": "20"}
    )
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (
        900,
        70,
        970,
    )
    assert answer.usage.prompt_tokens_details.cached_tokens == 512
    assert answer.usage.completion_tokens_details.reasoning_tokens == 20
    noted = entry(mock, answer.id)
    assert noted.usage is not None
    assert noted.usage.cache_read_tokens == 512
    assert noted.upstream_request_id == answer._request_id
    assert (noted.operation, noted.model, noted.stream, noted.status) == (
        "chat.completions",
        "gpt-4o-mini",
        False,
        200,
    )


async def test_a_streamed_chat_completion_says_the_same_text_in_as_many_chunks_as_asked(
    openai: AsyncOpenAI,
) -> None:
    whole = await openai.chat.completions.create(
        model="m", messages=MESSAGES, extra_headers={"x-mock-chunks": "3"}
    )
    stream = await openai.chat.completions.create(
        model="m", messages=MESSAGES, stream=True, extra_headers={"x-mock-chunks": "3"}
    )
    texts = [chunk.choices[0].delta.content async for chunk in stream]
    assert len([text for text in texts if text]) == 3
    assert "".join(text or "" for text in texts) == whole.choices[0].message.content


async def test_a_stream_reports_usage_only_to_those_who_ask_for_it(
    openai: AsyncOpenAI, mock: RunningMock
) -> None:
    silent = [
        chunk
        async for chunk in await openai.chat.completions.create(model="m", messages=MESSAGES, stream=True)
    ]
    assert all(chunk.usage is None and chunk.choices for chunk in silent)
    assert entry(mock, silent[0].id).usage is None
    stream = await openai.chat.completions.create(
        model="m",
        messages=MESSAGES,
        stream=True,
        stream_options={"include_usage": True},
        extra_headers=USAGE,
    )
    chunks = [chunk async for chunk in stream]
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.prompt_tokens == 900
    assert all(chunk.usage is None for chunk in chunks[:-1])


async def test_offered_tools_are_called_with_arguments_that_fit_their_schema(openai: AsyncOpenAI) -> None:
    answer = await openai.chat.completions.create(model="m", messages=MESSAGES, tools=[WEATHER])
    assert answer.choices[0].finish_reason == "tool_calls"
    [call] = answer.choices[0].message.tool_calls
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments) == {"city": "mock", "unit": "C", "days": 7}


async def test_streamed_tool_calls_are_put_together_by_the_clients_own_helper(openai: AsyncOpenAI) -> None:
    async with openai.chat.completions.stream(
        model="m", messages=MESSAGES, tools=[WEATHER], extra_headers={"x-mock-tool-calls": "2"}
    ) as stream:
        final = await stream.get_final_completion()
    calls = final.choices[0].message.tool_calls
    assert [json.loads(call.function.arguments)["city"] for call in calls] == ["mock", "mock"]
    assert len({call.id for call in calls}) == 2


async def test_a_tools_result_is_answered_with_text(openai: AsyncOpenAI) -> None:
    turns = [*MESSAGES, {"role": "tool", "tool_call_id": "call_1", "content": "rain"}]
    answer = await openai.chat.completions.create(model="m", messages=turns, tools=[WEATHER])
    assert answer.choices[0].message.content
    assert answer.choices[0].message.tool_calls is None


async def test_several_choices_are_answered_with_as_many(openai: AsyncOpenAI) -> None:
    answer = await openai.chat.completions.create(model="m", messages=MESSAGES, n=3)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    stream = await openai.chat.completions.create(model="m", messages=MESSAGES, n=2, stream=True)
    assert {chunk.choices[0].index async for chunk in stream} == {0, 1}


async def test_completions_speak_whole_and_streamed(openai: AsyncOpenAI, mock: RunningMock) -> None:
    whole = await openai.completions.create(model="m", prompt="hello")
    assert whole.usage is not None
    assert entry(mock, whole.id).operation == "completions"
    stream = await openai.completions.create(model="m", prompt="hello", stream=True)
    assert "".join([chunk.choices[0].text async for chunk in stream]) == whole.choices[0].text


async def test_responses_speak_whole_and_streamed(openai: AsyncOpenAI, mock: RunningMock) -> None:
    whole = await openai.responses.create(model="m", input="hello", extra_headers=USAGE)
    assert whole.output_text
    assert whole.usage is not None
    assert (whole.usage.input_tokens, whole.usage.input_tokens_details.cached_tokens) == (900, 512)
    assert entry(mock, whole.id).operation == "responses"
    async with openai.responses.stream(model="m", input="hello", extra_headers=USAGE) as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_response()
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    assert final.output_text == whole.output_text
    assert final.usage == whole.usage


async def test_responses_call_tools_whole_and_streamed(openai: AsyncOpenAI) -> None:
    tool = {"type": "function", "strict": False, **WEATHER["function"]}
    whole = await openai.responses.create(model="m", input="hello", tools=[tool])
    assert whole.output[0].type == "function_call"
    async with openai.responses.stream(model="m", input="hello", tools=[tool]) as stream:
        final = await stream.get_final_response()
    assert json.loads(final.output[0].arguments) == json.loads(whole.output[0].arguments)


async def test_embeddings_are_the_same_numbers_in_both_encodings(openai: AsyncOpenAI) -> None:
    packed = await openai.embeddings.create(model="m", input=["a", "b"], dimensions=4)
    plain = await openai.embeddings.create(model="m", input=["a", "b"], dimensions=4, encoding_format="float")
    assert [item.embedding for item in packed.data] == [item.embedding for item in plain.data]
    assert len(plain.data[0].embedding) == 4
    assert plain.data[0].embedding != plain.data[1].embedding
    assert packed.usage.prompt_tokens > 0


async def test_models_are_listed_and_fetched_by_name(openai: AsyncOpenAI) -> None:
    names = [model.id async for model in openai.models.list()]
    assert "gpt-4o-mini" in names
    assert (await openai.models.retrieve("gpt-4o-mini")).id == "gpt-4o-mini"
    with pytest.raises(openai_package.NotFoundError) as caught:
        await openai.models.retrieve("gpt-0")
    assert caught.value.code == "model_not_found"


async def test_another_key_than_the_vendors_is_refused_and_noted_by_its_hash_only(mock: RunningMock) -> None:
    async with AsyncOpenAI(base_url=f"{mock.url}/v1", api_key="wk_client_secret", max_retries=0) as client:
        with pytest.raises(openai_package.AuthenticationError) as caught:
            await client.chat.completions.create(model="m", messages=MESSAGES)
    assert caught.value.code == "invalid_api_key"
    [refused] = [call for call in mock.calls() if call.upstream_request_id == caught.value.request_id]
    assert refused.status == 401
    assert list(refused.credentials) == ["authorization"]
    assert "wk_client_secret" not in mock.log.read_text()
    assert DEFAULT_KEY not in mock.log.read_text()


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, openai_package.BadRequestError),
        (403, openai_package.PermissionDeniedError),
        (404, openai_package.NotFoundError),
        (429, openai_package.RateLimitError),
        (500, openai_package.InternalServerError),
        (503, openai_package.InternalServerError),
    ],
)
async def test_a_wanted_error_raises_the_clients_own_class(
    openai: AsyncOpenAI, status: int, error: type[openai_package.APIStatusError]
) -> None:
    settings = {
        "x-mock-status": str(status),
        "x-mock-retry-after": "7",
        "x-mock-error-message": "out of order",
    }
    with pytest.raises(error, match="out of order") as caught:
        await openai.chat.completions.create(
            model="m", messages=MESSAGES, stream=True, extra_headers=settings
        )
    assert caught.value.status_code == status
    assert caught.value.response.headers["retry-after"] == "7"


async def test_an_error_in_mid_stream_raises_in_the_client(openai: AsyncOpenAI) -> None:
    stream = await openai.chat.completions.create(
        model="m", messages=MESSAGES, stream=True, extra_headers={"x-mock-shape": "error_event"}
    )
    with pytest.raises(openai_package.APIError, match="told to fail"):
        async for _ in stream:
            pass


async def test_a_request_without_a_model_is_refused_as_openai_does(openai: AsyncOpenAI) -> None:
    with pytest.raises(openai_package.BadRequestError, match="'model'"):
        await openai.post("/chat/completions", body={"messages": MESSAGES}, cast_to=object)
