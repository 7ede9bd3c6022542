"""What is left of other people's processes: found by what stands on their command lines."""

from __future__ import annotations

import os
from pathlib import Path


def processes_of(script: Path) -> set[int]:
    """The processes that run a script and are no zombies."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                if str(script).encode() in (entry / "cmdline").read_bytes():
                    found.add(int(entry.name))
            except OSError:
                continue
    return found


def held_by(pid: int) -> dict[str, int]:
    """How many files, threads and children a process has."""
    process = Path("/proc") / str(pid)
    tasks = list((process / "task").iterdir())
    return {
        "files": len(os.listdir(process / "fd")),
        "threads": len(tasks),
        "children": sum(len((task / "children").read_text().split()) for task in tasks),
    }
