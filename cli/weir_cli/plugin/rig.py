"""One plugin under the host that the gateway has, and calls of it that end in time."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, redirect_stdout
from types import FrameType
from typing import Any, Final, NoReturn, TextIO, TypeVar

import uvloop

from weir_cli.errors import PluginNotStartedError
from weir_core.clock import SystemClock
from weir_core.objects import Plugin
from weir_core.snapshot import Snapshot
from weir_host.host import PluginHost
from weir_host.instance import Instance
from weir_host.invoke import call_with_deadline
from weir_host.limits import HostLimits
from weir_sdk import Logger
from weir_sdk.capabilities import HANDLERS

_Result = TypeVar("_Result")

HOOK_TIMEOUT_S: Final = 1.0
"""What an attachment gives a hook unless an admin says otherwise."""

COLLECTOR_TIMEOUT_S: Final = 10.0
"""What a collector is given."""

_SPARE_S: Final = 4.0
_BLOCKED: Final = (
    "it kept the event loop for itself, and in a gateway nothing else could have gone on; await what waits, "
    "or write the handler as a plain def"
)
_LIMITS: Final = HostLimits()


class LoopBlockedError(Exception):
    """Raised inside a handler that keeps the event loop for itself beyond its deadline."""


def run_as_worker(work: Coroutine[Any, Any, _Result]) -> _Result:
    """Run something on the loop of a gateway's workers, with this directory on the path as it is there."""
    if sys.path[0] != os.getcwd():
        sys.path.insert(0, os.getcwd())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


@asynccontextmanager
async def started(plugin: Plugin, snapshot: Snapshot, logger: Logger) -> AsyncIterator[Instance]:
    """Host a plugin alone; shut it down at the end, with all limits that a gateway sets.

    Args:
        plugin: With the hook types that are to be served.
        snapshot: What holds the plugin, and what it can read of the configuration.
        logger: Gets the plugin's log and the host's.

    Raises:
        PluginNotStartedError: It cannot start; the message says why.
    """
    host = PluginHost(
        runtime="gateway",
        hook_types=frozenset(HANDLERS),
        gateway_reads=lambda: snapshot,
        plugin_modules=None,
        edge_id="local",
        edge_namespace="",
        logger=logger,
        clock=SystemClock(),
        payloads=_Sent(),
        limits=_LIMITS,
    )
    try:
        await host.apply(snapshot, ready_within=_LIMITS.start_s + _SPARE_S)
        instance = host.get(plugin.id)
        if instance is None or instance.state != "ready":
            reason = "nothing hosts it" if instance is None else instance.reason or instance.state
            raise PluginNotStartedError(f"{plugin.command} does not start: {reason}")
        yield instance
    finally:
        await host.close()


async def timed(call: Coroutine[Any, Any, _Result], within_s: float) -> tuple[_Result, float]:
    """Await a plugin's call; return its answer and the milliseconds it took.

    Raises:
        PluginError: It failed, or was not done in time. Also when it keeps the event loop for itself, which
            nothing would interrupt in a gateway.
    """
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    with _interrupting(within_s + _SPARE_S):
        answer = await call_with_deadline(call, loop.time() + within_s, loop)
    return answer, (time.perf_counter() - began) * 1000


class _Sent:
    """Takes what the plugin sends to control, and lets it go: there is no control here."""

    def __init__(self) -> None:
        self._pending = 0

    async def send(
        self, _id: int, _slug: str, _payload: bytes, _correlation: str, _metadata: Mapping[str, str], /
    ) -> int:
        self._pending += 1
        return self._pending


@contextmanager
def prints_aside() -> Iterator[TextIO]:
    """Send what plugins print to standard error, as a gateway does; yield what was standard output."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with os.fdopen(os.dup(kept), "w", encoding="utf-8") as out, redirect_stdout(sys.stderr):
            yield out
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


@contextmanager
def _interrupting(seconds: float) -> Iterator[None]:
    """Interrupt whatever code holds the main thread after so long; what else used the alarm gets it back."""
    handler = signal.signal(signal.SIGALRM, _raise_blocked)
    left_s, interval_s = signal.setitimer(signal.ITIMER_REAL, seconds)
    began = time.monotonic()
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if left_s:
            signal.setitimer(signal.ITIMER_REAL, max(0.001, left_s - (time.monotonic() - began)), interval_s)


def _raise_blocked(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise LoopBlockedError(_BLOCKED)
