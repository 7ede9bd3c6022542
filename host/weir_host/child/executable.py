"""The file behind a ``file://`` command: where it may be, what it must be, and that it is the one meant."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from io import FileIO
from typing import Final

from weir_host.commands import FileCommand
from weir_host.errors import PluginStartError

_SHA256: Final = re.compile(r"(?:sha256:)?([0-9a-f]{64})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Executable:
    """An open program.

    Attributes:
        path: Where it really is, symlinks resolved.
        file: The file that was checked; what is started through it is what was checked. Closed by whoever
            started it.
        is_python: A ``.py`` file, which the gateway's own interpreter runs.
        is_verified: Its checksum was given, and fits.
    """

    path: str
    file: FileIO
    is_python: bool
    is_verified: bool


def open_executable(
    command: FileCommand, *, plugin_dirs: Sequence[str] | None, checksum: str | None
) -> Executable:
    """Open and check a program. Reads all of it when there is a checksum, so it may block.

    Args:
        command: Where it is said to be.
        plugin_dirs: It must lie below one of these directories; None allows any place.
        checksum: SHA-256 of the file in hexadecimal digits, or None.

    Raises:
        PluginStartError: It is not there, not allowed, or not what it should be.
    """
    path = os.path.realpath(command.path)
    _check_place(command.path, path, plugin_dirs)
    try:
        file = FileIO(path, opener=_open_plainly)
    except OSError as error:
        raise PluginStartError(f"{command.path} cannot be opened: {error.strerror}") from error
    try:
        is_python = path.endswith(".py")
        _check_kind(command.path, file, must_be_executable=not is_python)
        if checksum is not None:
            _check_sum(command.path, file, checksum)
    except BaseException:
        file.close()
        raise
    return Executable(path, file, is_python, is_verified=checksum is not None)


def _open_plainly(path: str, flags: int) -> int:
    # A link put there since its target was looked up is not followed, and a FIFO does not block.
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def _check_place(given: str, path: str, plugin_dirs: Sequence[str] | None) -> None:
    if plugin_dirs is None:
        return
    for directory in plugin_dirs:
        root = os.path.realpath(directory)
        if os.path.commonpath((root, path)) == root:
            return
    resolved = "" if given == path else f" (which is {path})"
    allowed = ", ".join(plugin_dirs) or "none is set"
    raise PluginStartError(
        f"{given}{resolved} is not below one of the plugin_dirs ({allowed}); "
        "move it there, or add its directory to plugin_dirs"
    )


def _check_kind(given: str, file: FileIO, *, must_be_executable: bool) -> None:
    mode = os.fstat(file.fileno()).st_mode
    if not stat.S_ISREG(mode):
        raise PluginStartError(f"{given} is not a file")
    if must_be_executable and not mode & (stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH):
        raise PluginStartError(
            f"{given} is not executable; run chmod +x on it, or name it .py if it is a Python script"
        )


def _check_sum(given: str, file: FileIO, checksum: str) -> None:
    wanted = _SHA256.fullmatch(checksum.strip())
    if wanted is None:
        raise PluginStartError(f"the checksum {checksum!r} is no SHA-256; write its 64 hexadecimal digits")
    found = hashlib.file_digest(file, "sha256").hexdigest()
    file.seek(0)
    if found != wanted[1].lower():
        raise PluginStartError(
            f"{given} has the SHA-256 {found}, which is not the plugin's checksum; if the file is the one "
            "you want, set the checksum to that"
        )
