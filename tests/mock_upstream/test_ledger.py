"""What the ledger promises: nothing answered that is not in it, whoever is killed."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path

import httpx2
import pytest

from weir_cli.mock_upstream.ledger import Ending, Ledger, masked, read_endings, read_ledger, secret_sha256
from weir_cli.mock_upstream.process import DEFAULT_KEY, RunningMock, running

ASK = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
KEY = {"authorization": f"Bearer {DEFAULT_KEY}"}


async def only_ending(mock: RunningMock) -> Ending:
    async with asyncio.timeout(20):
        while not (endings := mock.endings()):
            await asyncio.sleep(0.01)
    [ending] = endings.values()
    return ending


async def test_a_call_is_noted_with_its_bytes_headers_and_credentials_but_no_secret(
    http: httpx2.AsyncClient, mock: RunningMock
) -> None:
    body = json.dumps(ASK).encode()
    answer = await http.post(
        "/v1/chat/completions?key=wk_query&trace=1",
        content=body,
        headers={"x-request-id": "r-1", "api-key": "wk_header"},
    )
    noted = next(call for call in mock.calls() if call.id == answer.json()["id"])
    assert (noted.method, noted.path, noted.query) == ("POST", "/v1/chat/completions", "trace=1")
    assert (noted.body_bytes, noted.body_sha256) == (len(body), hashlib.sha256(body).hexdigest())
    assert noted.headers["x-request-id"] == "r-1"
    assert noted.credentials == {
        "authorization": secret_sha256(DEFAULT_KEY),
        "api-key": secret_sha256("wk_header"),
        "?key": secret_sha256("wk_query"),
    }
    assert "wk_" not in mock.log.read_text()


def test_a_bearer_token_hashes_like_the_bare_secret() -> None:
    assert masked({"authorization": "Bearer s"}, {})["authorization"] == secret_sha256("s")


@pytest.mark.crash
async def test_every_answer_a_client_got_stands_in_the_ledger_of_a_killed_mock(log: Path) -> None:
    answered: list[str] = []

    async def ask(client: httpx2.AsyncClient) -> None:
        while True:
            answered.append((await client.post("/v1/chat/completions", json=ASK)).json()["id"])

    with running(log) as mock:
        async with httpx2.AsyncClient(base_url=mock.url, headers=KEY) as client:
            askers = [asyncio.create_task(ask(client)) for _ in range(4)]
            while len(answered) < 40:
                await asyncio.sleep(0)
            mock.process.kill()
            results = await asyncio.gather(*askers, return_exceptions=True)
    assert all(isinstance(result, httpx2.TransportError) for result in results)
    noted = {call.id for call in read_ledger(log)}
    assert set(answered) <= noted


async def test_a_client_that_leaves_before_the_first_byte_is_noted(log: Path) -> None:
    with running(log, first_byte_ms=60_000) as mock:
        async with httpx2.AsyncClient(base_url=mock.url, headers=KEY) as client:
            asking = asyncio.create_task(client.post("/v1/chat/completions", json=ASK))
            while not mock.calls():
                await asyncio.sleep(0)
            asking.cancel()
            await asyncio.wait({asking})
        ending = await only_ending(mock)
    assert (ending.outcome, ending.sent) == ("client_gone", 0)


async def test_a_client_that_leaves_between_two_chunks_is_noted(log: Path) -> None:
    with running(log, chunk_ms=60_000) as mock:
        async with (
            httpx2.AsyncClient(base_url=mock.url, headers=KEY) as client,
            client.stream("POST", "/v1/chat/completions", json=ASK | {"stream": True}) as answer,
        ):
            await anext(answer.aiter_bytes())
        ending = await only_ending(mock)
    assert (ending.outcome, ending.sent) == ("client_gone", 1)


def test_a_torn_line_is_skipped_and_hides_nothing_after_it(log: Path) -> None:
    log.write_bytes(b'{"type":"ending","id":"a","outcome":"completed","sent":1}\n{"type":"end')
    ledger = Ledger(log)
    ledger.append(Ending(id="b", outcome="cut", sent=0))
    ledger.close()
    assert list(read_endings(log)) == ["a", "b"]


def test_a_ledger_that_is_not_there_yet_is_empty(log: Path) -> None:
    assert read_ledger(log) == []
