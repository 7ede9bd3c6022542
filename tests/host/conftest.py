"""What the host's tests share: plugins that are classes inside a test, and time that a test holds."""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from types import ModuleType
from typing import Any

import pytest

from weir_core.objects import Plugin
from weir_core.snapshot import Snapshot
from weir_host.calls import CallInfo
from weir_host.commands import PythonCommand, parse_command
from weir_host.host import PluginHost
from weir_host.in_process import InProcessPlugin
from weir_host.limits import HostLimits
from weir_sdk import BasePlugin, Services
from weir_sdk.capabilities import HANDLERS
from weir_sdk.context import Surroundings
from weir_sdk.testing import FakeGateway, RecordingLogger

CommandOf = Callable[[type], str]
Start = Callable[..., Awaitable[InProcessPlugin]]
_numbers = itertools.count()


class FixedClock:
    """A clock that moves only when it is told to."""

    def __init__(self) -> None:
        self.now_us = 1_000_000

    def wall_us(self) -> int:
        return self.now_us

    def monotonic(self) -> float:
        return self.now_us / 1e6


class HeldSleep:
    """A sleep that lasts until the test ends it; ``lengths`` says how long each was meant to be."""

    def __init__(self) -> None:
        self.lengths: list[float] = []
        self._sleepers: asyncio.Queue[asyncio.Event] = asyncio.Queue()

    async def __call__(self, seconds: float) -> None:
        self.lengths.append(seconds)
        woken = asyncio.Event()
        self._sleepers.put_nowait(woken)
        await woken.wait()

    async def wake_next(self) -> None:
        """Wait until somebody sleeps, and end that sleep."""
        (await self._sleepers.get()).set()


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
async def sleep() -> HeldSleep:
    return HeldSleep()


@pytest.fixture
def logger() -> RecordingLogger:
    return RecordingLogger()


@pytest.fixture
def call() -> CallInfo:
    return CallInfo(
        request_id="r-1",
        llm_id=1,
        llm_slug="my-llm",
        vendor="openai",
        app_id=7,
        user_id="ada",
        metadata={"kept": "yes"},
    )


@pytest.fixture
def command_of(monkeypatch: pytest.MonkeyPatch) -> CommandOf:
    """Gives a class of the test a command, as if it stood in a module."""

    def register(plugin_class: type) -> str:
        module = ModuleType(f"plugin_under_test_{next(_numbers)}")
        setattr(module, plugin_class.__name__, plugin_class)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return f"python://{module.__name__}:{plugin_class.__name__}"

    return register


@pytest.fixture
async def start(command_of: CommandOf, logger: RecordingLogger) -> AsyncIterator[Start]:
    """Starts a plugin class for every hook type it has handlers for; stops it after the test."""
    started: list[InProcessPlugin] = []

    async def start_it(
        plugin_class: type[BasePlugin],
        *,
        config: dict[str, Any] | None = None,
        limits: HostLimits = HostLimits(cancel_grace_s=0.01, drain_s=0.01),  # noqa: B008 - frozen
    ) -> InProcessPlugin:
        hook_types = tuple(
            kind for kind, names in HANDLERS.items() if any(hasattr(plugin_class, name) for name in names)
        )
        plugin = Plugin(
            id=1,
            name="under test",
            slug="under-test",
            command=command_of(plugin_class),
            config=config or {},
            hook_types=hook_types,  # type: ignore[arg-type]
        )
        command = parse_command(plugin.command)
        assert isinstance(command, PythonCommand)
        running = InProcessPlugin(
            plugin,
            command,
            hook_types=frozenset(HANDLERS),
            plugin_modules=None,
            surroundings=Surroundings(runtime="gateway", services=Services(logger, FakeGateway())),
            limits=limits,
        )
        started.append(running)
        await running.start()
        return running

    yield start_it
    for running in started:
        await running.stop()


HostOf = Callable[..., PluginHost]


@pytest.fixture
async def host_of(
    clock: FixedClock, sleep: HeldSleep, logger: RecordingLogger
) -> AsyncIterator[Callable[..., PluginHost]]:
    """Makes a host for gateway plugins; closes it after the test."""
    hosts: list[PluginHost] = []

    def make(**changes: Any) -> PluginHost:
        arguments: dict[str, Any] = {
            "runtime": "gateway",
            "hook_types": frozenset({"pre_auth", "auth", "post_auth", "on_response"}),
            "gateway_reads": lambda: Snapshot(1),
            "plugin_modules": None,
            "edge_id": "edge-1",
            "edge_namespace": "eu",
            "logger": logger,
            "clock": clock,
            "sleep": sleep,
            "limits": HostLimits(cancel_grace_s=0.01, drain_s=5.0),
        }
        host = PluginHost(**{**arguments, **changes})
        hosts.append(host)
        return host

    yield make
    for host in hosts:
        await host.close()
