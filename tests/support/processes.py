"""What is left of other people's processes: found by what stands on their command lines."""

from __future__ import annotations

import contextlib
import os
import re
from collections import Counter
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


def held_by(pid: int) -> Counter[str]:
    """How many threads and children a process has, and how many descriptors of each kind, files by their paths."""
    process = Path("/proc") / str(pid)
    tasks = list((process / "task").iterdir())
    children = sum(len((task / "children").read_text().split()) for task in tasks)
    found = Counter({"threads": len(tasks), "children": children})
    for entry in (process / "fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found[re.sub(r":\[\d+\]$", "", os.readlink(entry))] += 1
    return found
