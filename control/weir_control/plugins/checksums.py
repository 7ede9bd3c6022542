"""Compares a plugin's checksum with its file, where the file is on this machine."""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat

from weir_control.errors import invalid
from weir_host.commands import FileCommand, parse_command


async def check_checksum(command: str, checksum: str | None) -> None:
    """Check a checksum; whether the file is there at all is for the trial start to say.

    Raises:
        InvalidFieldsError: The file has another, or the command names no file.
    """
    if checksum is None:
        return
    parsed = parse_command(command)
    if not isinstance(parsed, FileCommand):
        raise invalid("checksum", "is for file:// plugins; the code of others cannot be verified by it")
    found = await asyncio.to_thread(_sha256, parsed.path)
    if found not in (None, checksum.lower()):
        raise invalid("checksum", f"is not that of {parsed.path}", "checksum_mismatch")


def _sha256(path: str) -> str | None:
    """The checksum of a regular file; None when there is none that can be read."""
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return None
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def _without_waiting(path: str, flags: int) -> int:
    # To open a pipe would wait for its other end.
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
