from __future__ import annotations

from typing import Any

import httpx2

from weir_cli.readiness import wait_until_ready


async def waited(answers: list[tuple[int, int] | Exception], logger: Any) -> int:
    """How often it waited, given the status codes of readiness and management at each look."""
    sleeps = 0

    async def sleep(_seconds: float) -> None:
        nonlocal sleeps
        sleeps += 1

    def answer(request: httpx2.Request) -> httpx2.Response:
        now = answers[sleeps]
        if isinstance(now, Exception):
            raise now
        return httpx2.Response(now[0 if request.url.path == "/ready" else 1], text="the reason")

    async with httpx2.AsyncClient(
        transport=httpx2.MockTransport(answer), base_url="http://gateway"
    ) as client:
        await wait_until_ready(client, logger, sleep=sleep)
    return sleeps


async def test_it_is_ready_when_calls_are_served_and_management_answers_even_to_refuse(logger: Any) -> None:
    assert await waited([(200, 401)], logger) == 0


async def test_it_waits_for_a_first_answer_for_readiness_and_for_management(logger: Any) -> None:
    refused = httpx2.ConnectError("refused")
    assert await waited([refused, (503, 503), (200, 503), (200, 200)], logger) == 3


async def test_a_long_wait_is_explained_in_the_log(logger: Any, log: Any) -> None:
    await waited([(503, 503)] * 250 + [(200, 200)], logger)
    assert [call.kwargs["reason"] for call in log.calls] == ["the reason", "the reason"]
