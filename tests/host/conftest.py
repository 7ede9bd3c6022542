"""What the host's tests share: plugins that are classes inside a test, and time that a test holds."""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import uvloop
from tests.host.programs import pass_over_other_children, write_program

from weir_core.clock import SystemClock
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


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """What watches processes and reads pipes is tested on the loop that does so in production."""
    if item.path.name.startswith("test_child_"):
        return {"uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}


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


@pytest.fixture(autouse=True)
def own_children() -> None:
    pass_over_other_children()


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
ProgramOf = Callable[..., str]


@pytest.fixture
def program(tmp_path: Path) -> ProgramOf:
    """Writes a program for ``file://`` and gives its command."""

    def write(source: str, name: str = "plugin.py") -> str:
        return write_program(tmp_path, source, name)

    return write


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


@pytest.fixture
def own_temp_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where plugins' sockets are, so that a test sees what is left there."""
    directory = tmp_path / "t"
    directory.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(directory))
    return directory


QUICK = HostLimits(
    start_s=30.0, drain_s=5.0, stop_s=1.0, exit_s=1.0, first_retry_s=0.01, longest_retry_s=0.01
)


@pytest.fixture
def child_host(host_of: HostOf) -> HostOf:
    """Makes a host for processes, which take their own time: pauses are real, and short."""

    def make(limits: HostLimits = QUICK, **changes: Any) -> PluginHost:
        return host_of(**{"sleep": asyncio.sleep, "clock": SystemClock(), "limits": limits, **changes})

    return make
