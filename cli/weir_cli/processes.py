"""Starting a real process, behind a seam that a test can replace."""

from __future__ import annotations

import asyncio
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

_STANDARD_ERROR: Final = 2


@dataclass(frozen=True, slots=True)
class Command:
    """What to start.

    ``first_line`` is written to the process's standard input, which then stays open for as long as this
    process lives: its end tells the child that the parent is gone. What the child prints goes to standard
    error, or nowhere when it is ``silent``.
    """

    argv: tuple[str, ...]
    first_line: bytes = field(repr=False)
    environment: Mapping[str, str] = field(repr=False)
    pass_fds: tuple[int, ...] = ()
    silent: bool = False


class Process(Protocol):
    """A started process."""

    @property
    def pid(self) -> int: ...

    async def wait(self) -> int:
        """Its exit code, or minus the signal that ended it."""
        ...

    def terminate(self) -> None:
        """Send SIGTERM; nothing happens when it has ended."""
        ...

    def kill(self) -> None:
        """Send SIGKILL; nothing happens when it has ended."""
        ...


Spawn = Callable[[Command], Awaitable[Process]]


class _ChildProcess:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pid = process.pid

    async def wait(self) -> int:
        return await self._process.wait()

    def terminate(self) -> None:
        if self._process.returncode is None:
            self._process.terminate()

    def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()


async def spawn(command: Command) -> Process:
    """Start a process in a process group of its own, so that Ctrl-C reaches only the supervisor.

    Raises:
        OSError: The system cannot start it now.
    """
    process = await asyncio.create_subprocess_exec(
        *command.argv,
        stdin=PIPE,
        # Standard output is the command's own; what a plugin prints belongs into the log.
        stdout=DEVNULL if command.silent else _STANDARD_ERROR,
        env=command.environment,
        pass_fds=command.pass_fds,
        process_group=0,
    )
    if process.stdin is not None:
        process.stdin.write(command.first_line + b"\n")
    return _ChildProcess(process)


def child_environment(environ: Mapping[str, str], added: Mapping[str, str]) -> dict[str, str]:
    """The environment for children: settings and secrets reach them on standard input, not here.

    Plugins and what they start would inherit it.
    """
    kept = {name: value for name, value in environ.items() if not name.startswith("WEIR_")}
    # gRPC would write a line of its own into the log at each end of a plugin's process.
    quiet = {"GRPC_VERBOSITY": environ.get("GRPC_VERBOSITY", "ERROR")}
    return {**kept, "PYTHONUNBUFFERED": "1", **quiet, **added}


def describe_exit(code: int) -> str:
    """``exit code 1`` or ``signal 9``."""
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def is_clean(code: int) -> bool:
    """Whether a process that was asked to stop did; SIGTERM may hit it before it listens for it."""
    return code in (0, -15)
