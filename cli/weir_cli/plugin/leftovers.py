"""Processes that are left of a plugin once it has been stopped."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

_PR_SET_CHILD_SUBREAPER: Final = 36
_SETTLE_S: Final = 2.0
_PAUSE_S: Final = 0.02


class Leftovers:
    """What this process has become the parent of since this was made.

    On Linux, whatever loses its parent below us becomes our own child, daemons included, so that nothing that
    a plugin started can hide. Elsewhere nothing is found.
    """

    def __init__(self) -> None:
        _adopt(True)
        self._before = _children()

    async def end(self) -> list[str]:
        """The command lines of what is left after a moment; it is killed."""
        loop = asyncio.get_running_loop()
        until = loop.time() + _SETTLE_S
        while (left := _children() - self._before) and loop.time() < until:
            _bury(left)
            await asyncio.sleep(_PAUSE_S)
        named = [_command_line(pid) for pid in sorted(left)]
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        while _children() & left:
            _bury(left)
            await asyncio.sleep(_PAUSE_S)
        _adopt(False)
        return named


def _adopt(adopting: bool) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(adopting))


def _children() -> set[int]:
    if sys.platform != "linux":
        return set()
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # threads come and go
            found.update(map(int, (task / "children").read_text().split()))
    return found


def _bury(pids: set[int]) -> None:
    """Take leave of those that have ended."""
    for pid in pids:
        with suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def _command_line(pid: int) -> str:
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return f"process {pid}"
    return b" ".join(arguments).decode("utf-8", "replace").strip() or f"process {pid}"
