"""A background job that must not end: whatever ends it, it starts anew, with growing pauses."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import msgspec

from weir_collectors.backoff import Backoff
from weir_core.clock import Clock


class RestartSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How soon a job that failed starts anew; one that ran for ``steady_s`` is taken as healthy again."""

    backoff: Backoff = Backoff(first_s=0.5, longest_s=30.0)
    steady_s: float = 60.0


async def keep_running(
    job: Callable[[], Awaitable[None]],
    *,
    stop: asyncio.Event,
    clock: Clock,
    settings: RestartSettings,
    failed: Callable[[Exception], None],
) -> None:
    """Run ``job`` again and again until ``stop`` is set; tell ``failed`` why it ended."""
    failures = 0
    while not stop.is_set():
        started = clock.monotonic()
        try:
            await job()
        except Exception as error:  # noqa: BLE001 - a consumer loop's seam: whatever ended it, it starts anew
            if clock.monotonic() - started >= settings.steady_s:
                failures = 0
            failures += 1
            failed(error)
            await pause(stop, settings.backoff.after(failures))


async def pause(stop: asyncio.Event, seconds: float) -> None:
    """Wait, but not beyond ``stop``."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
