"""Files that are either the old one or the new one, whatever happens in between."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def replace_file(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Put ``data`` at ``path`` atomically and durably. Blocks on two syncs; one writer at a time.

    Raises:
        OSError: The disk refused; the old file stands.
    """
    fresh = path.with_name(f"{path.name}.new")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        write_all(fd, data, 0)
        os.fsync(fd)
    finally:
        os.close(fd)
    fresh.replace(path)
    sync_directory(path.parent)


def write_all(fd: int, data: bytes | memoryview, offset: int) -> None:
    """``pwrite`` until everything is written.

    Raises:
        OSError: The disk refused part of it; an unknown part stands.
    """
    written = os.pwrite(fd, data, offset)
    while written < len(data):
        more = os.pwrite(fd, data[written:], offset + written)
        if not more:
            raise OSError(f"wrote {written} of {len(data)} bytes")
        written += more


def allocate(fd: int, size: int) -> None:
    """Give an empty file its blocks now, so that writing into it later cannot find the disk full. Blocks.

    Raises:
        OSError: The disk is full or refused.
    """
    if sys.platform == "darwin":
        write_all(fd, bytes(size), 0)
    else:
        os.posix_fallocate(fd, 0, size)


def sync_data(fd: int) -> None:
    """Make a file's contents survive a power cut. Blocks.

    Raises:
        OSError: The disk refused; what was written since the last sync may be lost.
    """
    if sys.platform == "darwin":
        os.fsync(fd)
    else:
        os.fdatasync(fd)


def sync_directory(directory: Path) -> None:
    """Make names that were added, changed or removed in ``directory`` survive a power cut."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
