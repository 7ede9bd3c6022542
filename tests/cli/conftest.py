"""Fakes for the supervisor: time that a test moves, processes that end when a test says so."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from pydantic import SecretStr
from structlog.testing import CapturingLogger

from weir_cli.data_dir import DataDir
from weir_cli.listening import bind
from weir_cli.main import main
from weir_cli.plans import Household
from weir_cli.processes import Command, child_environment
from weir_cli.supervisor import ChildPlan
from weir_core.secrets import KeyRing
from weir_core.settings import Settings

Weir = Callable[..., tuple[int, str, str]]
"""A command's arguments to its exit code, standard output and standard error."""


class FakeTime:
    """A clock and a sleep; ``advance`` lets time pass and everything that is due happen."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._sleepers: list[tuple[float, asyncio.Event]] = []

    def monotonic(self) -> float:
        return self.now

    def wall_us(self) -> int:
        return int(self.now * 1_000_000)

    async def sleep(self, seconds: float) -> None:
        event = asyncio.Event()
        self._sleepers.append((self.now + seconds, event))
        await event.wait()

    async def advance(self, seconds: float) -> None:
        await settle()
        self.now += seconds
        for due, event in self._sleepers:
            if due <= self.now:
                event.set()
        await settle()


class FakeProcess:
    """``code`` is what it ends with on SIGTERM; None means that it ignores SIGTERM."""

    def __init__(self, pid: int, on_terminate: int | None) -> None:
        self.pid = pid
        self.signals: list[str] = []
        self._on_terminate = on_terminate
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def wait(self) -> int:
        return await asyncio.shield(self._ended)

    def end(self, code: int) -> None:
        if not self._ended.done():
            self._ended.set_result(code)

    def terminate(self) -> None:
        self.signals.append("TERM")
        if self._on_terminate is not None:
            self.end(self._on_terminate)

    def kill(self) -> None:
        self.signals.append("KILL")
        self.end(-9)


class FakeSpawner:
    """Starts fake processes; keeps them by the name in their command."""

    def __init__(self) -> None:
        self.started: dict[str, list[FakeProcess]] = {}
        self.on_terminate: dict[str, int | None] = {}
        self.failures: list[OSError] = []
        self._next_pid = 100

    async def __call__(self, command: Command) -> FakeProcess:
        if self.failures:
            raise self.failures.pop(0)
        (name,) = command.argv
        process = FakeProcess(self._next_pid, self.on_terminate.get(name, 0))
        self._next_pid += 1
        self.started.setdefault(name, []).append(process)
        return process

    def current(self, name: str) -> FakeProcess:
        return self.started[name][-1]


async def settle() -> None:
    """Let every task that can go on go on."""
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def _logs_stay_as_they_were() -> Iterator[None]:
    """A command that runs in this process sets up its logs; other rooms' tests have theirs."""
    configured, handlers, level = structlog.get_config(), logging.root.handlers, logging.root.level
    yield
    structlog.configure(**configured)
    logging.root.handlers = handlers
    logging.root.setLevel(level)


@pytest.fixture
def fake_time() -> FakeTime:
    return FakeTime()


@pytest.fixture
def spawner() -> FakeSpawner:
    return FakeSpawner()


@pytest.fixture
def log() -> CapturingLogger:
    return CapturingLogger()


@pytest.fixture
def logger(log: CapturingLogger) -> Any:
    return structlog.wrap_logger(log, processors=[], wrapper_class=structlog.make_filtering_bound_logger(0))


@pytest.fixture
def settled() -> Callable[[], Any]:
    return settle


@pytest.fixture(name="until")
def until_fixture() -> Callable[[Callable[[], Any]], Any]:
    return until


async def until(condition: Callable[[], Any]) -> Any:
    """Wait for something that another process does; the suite's timeout is the limit."""
    while not (result := condition()):
        await asyncio.sleep(0.01)
    return result


class Children:
    """Plans for real child processes that run the roles of ``fake_roles``."""

    def __init__(self, root: Path) -> None:
        self.data_dir = DataDir.at(root / "data")
        self.listener = bind("127.0.0.1", 0)
        self._lock_fd = os.open(self.data_dir.lock, os.O_RDWR | os.O_CREAT)
        environment = child_environment(
            {**os.environ, "WEIR_ADMIN_TOKEN": "not for children"}, {"PYTHONPATH": str(Path(__file__).parent)}
        )
        self.household = Household(
            settings=Settings(admin_token=SecretStr("not for children")),
            data_dir=self.data_dir,
            encryption_keys=KeyRing.generate_key(),
            environment=environment,
            lock_fd=self._lock_fd,
        )

    def plan(self, role: str, **options: Any) -> ChildPlan:
        command = self.household.child(role, f"fake_roles:{role}", self.listener)
        return ChildPlan(role, command, **{"stop_order": 0, "grace_s": 10.0} | options)

    def told(self, role: str) -> dict[str, Any] | None:
        """What the role left when it began."""
        path = self.data_dir.root / f"{role}.json"
        return json.loads(path.read_text()) if path.exists() else None

    def forget(self, role: str) -> None:
        (self.data_dir.root / f"{role}.json").unlink()

    def close(self) -> None:
        self.listener.close()
        os.close(self._lock_fd)


@pytest.fixture
def children(tmp_path: Path) -> Iterator[Children]:
    made = Children(tmp_path)
    yield made
    made.close()


@pytest.fixture
def weir(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Weir:
    """Runs a command in an empty directory; returns exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["weir", *arguments])
        code = 0
        try:
            main()
        except SystemExit as stopped:
            code = int(stopped.code or 0)
        written = capfd.readouterr()
        return code, written.out, written.err

    return run
