"""Every way to tell the mock upstream how to behave, and what comes of it on the wire."""

from __future__ import annotations

import gzip
import json
from typing import Any

import httpx2
import pytest

from weir_cli.mock_upstream import Behaviour
from weir_cli.mock_upstream.behaviour import PRESETS, adjusted, of_call
from weir_cli.mock_upstream.errors import BehaviourError
from weir_cli.mock_upstream.process import RunningMock

ASK = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
STREAMED = ASK | {"stream": True, "stream_options": {"include_usage": True}}
PATH = "/v1/chat/completions"


def data_of(text: str) -> list[str]:
    return [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]


async def chat(http: httpx2.AsyncClient, body: dict[str, Any], **settings: object) -> httpx2.Response:
    headers = {"x-mock-" + name.replace("_", "-"): str(value) for name, value in settings.items()}
    return await http.post(PATH, json=body, headers=headers)


def test_texts_become_the_types_of_their_fields() -> None:
    behaviour = adjusted(
        Behaviour(), {"chunks": "3", "report_usage": "false", "shape": "gzip,crlf", "chunk_text": "7"}
    )
    assert behaviour == Behaviour(chunks=3, report_usage=False, shape=("gzip", "crlf"), chunk_text="7")


@pytest.mark.parametrize(
    "settings", [{"chunk": "3"}, {"chunks": "-1"}, {"chunks": "many"}, {"shape": "round"}, {"status": "99"}]
)
def test_a_setting_that_is_unknown_or_out_of_range_is_named(settings: dict[str, str]) -> None:
    with pytest.raises(BehaviourError, match=next(iter(settings))):
        adjusted(Behaviour(), settings)


def test_headers_override_the_body_which_overrides_the_model_which_overrides_the_process() -> None:
    base = Behaviour(chunks=1, chunk_ms=1, first_byte_ms=1, status=500)
    document = {"model": "mock-slow", "user": "mock:first_byte_ms=3&chunks=3"}
    behaviour = of_call(base, {"x-mock-chunks": "4"}, document)
    assert (behaviour.status, behaviour.chunk_ms, behaviour.first_byte_ms, behaviour.chunks) == (
        500,
        100,
        3,
        4,
    )


@pytest.mark.parametrize(
    "document",
    [
        {"user": "mock:chunks=2"},
        {"metadata": {"user_id": "mock:chunks=2"}},
        {"metadata": {"mock": "mock:chunks=2"}},
    ],
)
def test_each_place_in_a_body_that_a_vendor_leaves_free_can_carry_settings(document: dict[str, Any]) -> None:
    assert of_call(Behaviour(), {}, document).chunks == 2


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_a_valid_behaviour(name: str) -> None:
    assert of_call(Behaviour(), {}, {"model": name}) != Behaviour()


async def test_a_wrong_setting_is_refused_in_the_vendors_shape(http: httpx2.AsyncClient) -> None:
    answer = await chat(http, ASK, chunk=3)
    assert answer.status_code == 400
    assert "chunk" in answer.json()["error"]["message"]


async def test_the_process_behaves_as_last_told_and_as_at_first_when_reset(
    http: httpx2.AsyncClient, mock: RunningMock
) -> None:
    mock.behave(status=503)
    try:
        assert (await chat(http, ASK)).status_code == 503
        mock.behave(chunks=1)
        assert (await chat(http, ASK)).json()["choices"][0]["message"]["content"] == "This "
    finally:
        await http.delete("/_mock/behaviour")
    assert (await http.get("/_mock/behaviour")).json()["chunks"] == 12
    refused = await http.put("/_mock/behaviour", json={"chunks": -1})
    assert refused.status_code == 422
    assert "chunks" in refused.json()["error"]


async def test_an_answer_can_be_as_large_as_wanted(http: httpx2.AsyncClient) -> None:
    answer = await chat(http, ASK, chunks=2, chunk_bytes=3_000_000)
    assert len(answer.json()["choices"][0]["message"]["content"]) == 6_000_000


async def test_an_answer_can_come_without_usage(http: httpx2.AsyncClient) -> None:
    assert "usage" not in (await chat(http, ASK, report_usage="false")).json()


async def test_an_error_body_can_be_anything(http: httpx2.AsyncClient) -> None:
    answer = await chat(http, ASK, status=502, error_body="<html>bad gateway</html>")
    assert (answer.status_code, answer.text) == (502, "<html>bad gateway</html>")


async def test_a_body_can_be_cut_after_so_many_bytes(http: httpx2.AsyncClient, mock: RunningMock) -> None:
    with pytest.raises(httpx2.RemoteProtocolError):
        await chat(http, ASK, truncate_after_bytes=40)
    assert mock.endings()[mock.calls()[-1].id].outcome == "cut"


async def test_a_stream_can_be_cut_after_so_many_events(http: httpx2.AsyncClient) -> None:
    received: list[bytes] = []

    async def read() -> None:
        headers = {"x-mock-truncate-after-chunks": "3"}
        async with http.stream("POST", PATH, json=STREAMED, headers=headers) as answer:
            async for piece in answer.aiter_bytes():
                received.append(piece)

    with pytest.raises(httpx2.RemoteProtocolError):
        await read()
    assert len(data_of(b"".join(received).decode())) == 3


async def test_a_connection_can_be_closed_without_any_answer(http: httpx2.AsyncClient) -> None:
    with pytest.raises(httpx2.RemoteProtocolError):
        await chat(http, ASK, shape="no_answer")


async def test_a_stream_ends_with_done_unless_told_otherwise(http: httpx2.AsyncClient) -> None:
    assert data_of((await chat(http, STREAMED)).text)[-1] == "[DONE]"
    without = await chat(http, STREAMED, shape="no_terminal")
    assert json.loads(data_of(without.text)[-1])["usage"]


async def test_usage_can_come_with_the_last_choice(http: httpx2.AsyncClient) -> None:
    answer = await chat(http, STREAMED, shape="usage_with_choices", cache_read_tokens=5)
    last = json.loads(data_of(answer.text)[-2])
    assert last["choices"][0]["finish_reason"] == "stop"
    assert last["usage"]["prompt_tokens_details"]["cached_tokens"] == 5


async def test_usage_can_grow_from_chunk_to_chunk(http: httpx2.AsyncClient) -> None:
    answer = await chat(http, STREAMED, shape="cumulative_usage", response_tokens=50)
    counters = [json.loads(data)["usage"]["completion_tokens"] for data in data_of(answer.text)[:-1]]
    assert counters == sorted(counters)
    assert counters[-1] == 50


async def test_json_can_be_broken_whole_and_in_one_event(http: httpx2.AsyncClient) -> None:
    with pytest.raises(json.JSONDecodeError):
        (await chat(http, ASK, shape="invalid_json")).json()
    broken = 0
    for data in data_of((await chat(http, STREAMED, shape="invalid_json")).text)[:-1]:
        try:
            json.loads(data)
        except json.JSONDecodeError:
            broken += 1
    assert broken == 1


@pytest.mark.parametrize("body", [ASK, STREAMED])
async def test_an_answer_can_be_compressed_unasked(http: httpx2.AsyncClient, body: dict[str, Any]) -> None:
    headers = {"x-mock-shape": "gzip", "accept-encoding": "identity"}
    async with http.stream("POST", PATH, json=body, headers=headers) as answer:
        raw = b"".join([piece async for piece in answer.aiter_raw()])
    assert answer.headers["content-encoding"] == "gzip"
    assert b"chatcmpl-" in gzip.decompress(raw)


async def test_a_body_can_come_without_its_length(http: httpx2.AsyncClient) -> None:
    answer = await chat(http, ASK, shape="chunked")
    assert "content-length" not in answer.headers
    assert answer.json()["object"] == "chat.completion"


async def test_events_can_be_cut_anywhere_and_end_their_lines_with_crlf(http: httpx2.AsyncClient) -> None:
    answer = await chat(http, STREAMED, shape="crlf", split_bytes=7)
    assert answer.text.count("\r\n\r\n") == len(data_of(answer.text))
