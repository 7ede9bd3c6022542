"""Seeing a process of ours end, on any event loop."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress


def when_ended(pid: int, call: Callable[[], None]) -> None:
    """Call once, in the running loop, when a child of this process has ended; nobody has waited for it then.

    Raises:
        OSError: There is no such process, or no descriptor left to watch it with.
    """
    loop = asyncio.get_running_loop()
    if sys.platform == "linux":
        fd = os.pidfd_open(pid)

        def ended() -> None:
            loop.remove_reader(fd)
            os.close(fd)
            call()

        loop.add_reader(fd, ended)
    else:
        threading.Thread(target=_wait, args=(pid, loop, call), name=f"watch-{pid}", daemon=True).start()


def _wait(pid: int, loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    with suppress(RuntimeError):  # the loop has closed, and nobody waits
        loop.call_soon_threadsafe(call)
