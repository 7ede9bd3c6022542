"""A child's report of itself to control, once a second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import httpx2

_EVERY_S: Final = 1.0
_TIMEOUT_S: Final = 5.0


async def report_forever(internal_socket: Path, report: Callable[[], dict[str, Any]]) -> None:
    """Post what ``report`` returns until cancelled; while control is away, the next one says it again."""
    transport = httpx2.AsyncHTTPTransport(uds=str(internal_socket))
    async with httpx2.AsyncClient(
        transport=transport, base_url="http://control", timeout=_TIMEOUT_S
    ) as client:
        while True:
            with suppress(httpx2.HTTPError):
                await client.post("/internal/status", json=report())
            await asyncio.sleep(_EVERY_S)
