"""Whether the gateway serves yet, asked the way a load balancer asks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import httpx2
from structlog.typing import FilteringBoundLogger

_POLL_S: Final = 0.1
_TELL_EVERY: Final = 100


async def wait_until_ready(
    client: httpx2.AsyncClient,
    logger: FilteringBoundLogger,
    *,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Return when calls are served and the management API answers.

    Waits as long as it takes, and says every ten seconds why.
    """
    polls = 0
    while (reason := await _reason_to_wait(client)) is not None:
        polls += 1
        if polls % _TELL_EVERY == 0:
            logger.warning("not ready yet", reason=reason)
        await sleep(_POLL_S)


async def _reason_to_wait(client: httpx2.AsyncClient) -> str | None:
    try:
        calls = await client.get("/ready")
        # Any answer of control's own will do, a refusal for want of a token included.
        management = await client.get("/api/v1/proxies")
    except httpx2.HTTPError as error:
        return f"no answer from a proxy: {error or type(error).__name__}"
    if calls.status_code != 200:
        return calls.text
    return management.text if management.is_server_error else None
