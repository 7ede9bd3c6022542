"""A private directory for a plugin's sockets."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

# A unix socket's path has room for 107 bytes; go-plugin puts a name of up to 20 below ours.
_LONGEST_DIRECTORY: Final = 80
_FALLBACK: Final = "/tmp"  # noqa: S108 - the directory made in it is private
_PREFIX: Final = "weir-plugin-"


def make_socket_dir() -> Path:
    """Make a directory that only we can enter, with a path short enough for sockets in it."""
    parent = tempfile.gettempdir()
    if len(os.fsencode(parent)) + len(_PREFIX) + 9 > _LONGEST_DIRECTORY:
        parent = _FALLBACK
    return Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))


def remove_socket_dir(directory: Path) -> None:
    """Remove it with the sockets that a killed plugin leaves in it."""
    shutil.rmtree(directory, ignore_errors=True)
