"""Exclusive ownership of a directory, given up by the kernel when its process dies."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Self

_FILE_NAME = "LOCK"


class DirectoryLock:
    """A held ``flock`` on ``LOCK`` in a directory."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    @classmethod
    def take(cls, directory: Path) -> Self | None:
        """Lock ``directory``, or return None when someone else holds it or it is gone. Does not wait.

        Raises:
            OSError: The lock file cannot be made.
        """
        path = directory / _FILE_NAME
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        # Its last owner may have removed the directory between our open and our lock.
        if not path.exists() or path.stat().st_ino != os.fstat(fd).st_ino:
            os.close(fd)
            return None
        return cls(fd)

    def release(self) -> None:
        """Give the directory up."""
        os.close(self._fd)
