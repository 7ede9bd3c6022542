"""A plugin's process: started so that it cannot outlive us, watched, and killed with all it has started."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from weir_host.child.executable import Executable
from weir_host.child.keeper import Keeper
from weir_host.errors import PluginStartError
from weir_host.process_end import when_ended

_LAUNCH: Final = Path(__file__).with_name("launch.py")


class ChildProcess:
    """A process in a session of its own, whose end is seen at once.

    It is killed by the kernel when the thread that starts it ends, so that thread must be one that lasts:
    that of the event loop.
    """

    def __init__(self, process: subprocess.Popen[bytes], keeper: Keeper) -> None:
        self._process = process
        self._keeper = keeper
        self._ended = asyncio.Event()
        when_ended(process.pid, self._bury)

    @classmethod
    def start(cls, program: Executable, environment: Mapping[str, str], keeper: Keeper) -> ChildProcess:
        """Start a program without arguments; its standard input is empty, its outputs are pipes.

        Raises:
            PluginStartError: The system cannot start a process now.
        """
        try:
            process = subprocess.Popen(  # noqa: S603 - the program that the admin named
                _arguments(program),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                pass_fds=(program.file.fileno(),) if program.is_python or program.is_verified else (),
                start_new_session=True,
                bufsize=0,
            )
        except OSError as error:
            raise PluginStartError(f"no process can be started: {error.strerror}") from error
        try:
            keeper.add(process.pid)
            return cls(process, keeper)
        except OSError as error:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise PluginStartError(f"its process cannot be watched: {error.strerror}") from error

    @property
    def pid(self) -> int:
        """Its process id, which is also that of its process group."""
        return self._process.pid

    @property
    def stdout(self) -> IO[bytes]:
        """The pipe from its standard output; whoever reads it closes it."""
        assert self._process.stdout is not None
        return self._process.stdout

    @property
    def stderr(self) -> IO[bytes]:
        """The pipe from its standard error; whoever reads it closes it."""
        assert self._process.stderr is not None
        return self._process.stderr

    @property
    def has_ended(self) -> bool:
        """Whether it is gone."""
        return self._ended.is_set()

    @property
    def ending(self) -> str:
        """How it ended."""
        status = self._process.returncode
        if status is None:
            return "is running"
        if status < 0:
            return f"was killed by {signal.Signals(-status).name}"
        return f"ended with exit code {status}"

    async def wait(self) -> None:
        """Wait until it has ended, whatever ends it."""
        await self._ended.wait()

    def kill(self) -> None:
        """Kill its process group; nothing happens when it has ended."""
        if not self._ended.is_set():
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    def _bury(self) -> None:
        """Take what it started down with it. Until it is waited for, nobody else can get its id."""
        self.kill()
        self._process.wait()
        self._keeper.remove(self.pid)
        self._ended.set()


def _arguments(program: Executable) -> tuple[str, ...]:
    host_pid = str(os.getpid())
    if program.is_python:
        # -P: what lies beside the launcher is not for the plugin to import.
        return (sys.executable, "-P", str(_LAUNCH), host_pid, "run", str(program.file.fileno()), program.path)
    # Without a checksum by its path, which is what the program then sees as its own.
    path = f"/proc/self/fd/{program.file.fileno()}" if program.is_verified else program.path
    return (sys.executable, "-I", "-S", str(_LAUNCH), host_pid, "exec", path, program.path)
