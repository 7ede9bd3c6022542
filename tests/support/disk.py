"""Disks that a test can fill: a small file system where it may mount one, else a limit on file sizes."""

from __future__ import annotations

import contextlib
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

_PIECE = bytes(64 * 1024)


@contextlib.contextmanager
def file_size_limit(pid: int, size: int) -> Iterator[None]:
    """The disk refuses whatever this process, whether ours or a child, would write beyond ``size`` bytes of a file."""
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


class SmallDisk:
    """A directory on a disk of 48 MiB, where this user may mount one and ``mount`` asks for it."""

    def __init__(self, root: Path, *, mount: bool = True) -> None:
        self.root = root
        root.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(root)]
        self.is_real = mount and subprocess.run(command, check=False, capture_output=True).returncode == 0

    @contextlib.contextmanager
    def full(self, pid: int, segment_bytes: int) -> Iterator[None]:
        """No room is left for another segment of the spool that process ``pid`` writes."""
        if not self.is_real:
            with file_size_limit(pid, segment_bytes - 1):
                yield
            return
        filler = self.root / "filler"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(_PIECE)
        yield
        filler.unlink()

    def close(self) -> None:
        if self.is_real:
            subprocess.run(["umount", "-l", str(self.root)], check=True)
