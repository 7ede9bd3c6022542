"""How much memory a plugin's process has, and whether that is too much.

Address space cannot be limited instead: Go programs and the JVM reserve far more of it than they use.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

_PROCESSES: Final = Path("/proc")
_RESIDENT: Final = 1
_MIB: Final = 1024 * 1024


async def wait_until_too_large(pid: int, *, most_bytes: int, every_s: float) -> str:
    """Look again and again; return why the process has to go once it has more memory than it may.

    Where the system has no ``/proc``, as on macOS, this never returns.

    Args:
        pid: Of the process; what it has started counts as its own.
        most_bytes: How much it may have.
        every_s: Seconds between two looks.
    """
    while True:
        await asyncio.sleep(every_s)
        used = await asyncio.to_thread(resident_bytes, pid)
        if used > most_bytes:
            allowed = f"plugin_memory_bytes allows {_mib(most_bytes)}"
            return f"its process had {_mib(used)} of memory and was ended: {allowed}"


def resident_bytes(pid: int) -> int:
    """The resident memory of a process and of all it has started; 0 where the system does not tell.

    Memory that several of them share counts for each. Blocks for a fraction of a millisecond a process.
    """
    return sum(map(_resident, _family(pid)))


def _family(pid: int) -> Iterator[int]:
    yield pid
    with suppress(OSError):
        for task in (_PROCESSES / str(pid) / "task").iterdir():
            with suppress(OSError):
                for child in (task / "children").read_text().split():
                    yield from _family(int(child))


def _resident(pid: int) -> int:
    try:
        pages = int((_PROCESSES / str(pid) / "statm").read_text().split()[_RESIDENT])
    except OSError:  # it has just ended
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _mib(size: int) -> str:
    return f"{size / _MIB:.0f} MiB"
