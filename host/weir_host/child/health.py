"""Whether a plugin's process still answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from grpc import aio

from weir_core.clock import Clock
from weir_host.limits import HostLimits
from weir_proto.plugin_pb2 import PingRequest


async def wait_until_silent(
    ping: Callable[..., Any],
    limits: HostLimits,
    clock: Clock,
    *,
    complain: Callable[[str], None],
    asking: Callable[[], Callable[[], None]],
) -> str:
    """Ask again and again; return why the process has to go once it has been silent too often.

    Args:
        ping: The stub's method.
        limits: How often, how long, how many times.
        clock: Says when.
        complain: Told after each ping what is wrong, or nothing.
        asking: Called before each ping; what it returns is called when that ping is answered.
    """
    silent = 0
    while silent < limits.silent_pings:
        await asyncio.sleep(limits.ping_every_s)
        answered = asking()
        try:
            answer = await ping(
                PingRequest(timestamp=clock.wall_us() // 1_000_000), timeout=limits.ping_timeout_s
            )
        except aio.AioRpcError:
            silent += 1
            complain(f"its process has not answered {silent} pings in a row")
        else:
            silent = 0
            answered()
            complain("" if answer.healthy else "it says that it is not healthy")
    return f"its process did not answer {silent} pings in a row"
