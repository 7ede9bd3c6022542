"""Private directories for plugins' sockets."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

# A unix socket's path has room for 107 bytes; go-plugin puts a name of up to 20 below ours.
_LONGEST_DIRECTORY: Final = 80
_FALLBACK: Final = "/tmp"  # noqa: S108 - the directories made in it are private
_MADE_BY_MKDTEMP: Final = 8


class SocketDirectories(NamedTuple):
    """The directories of one host, told from those of others by how their names begin."""

    parent: str
    prefix: str

    @classmethod
    def anew(cls) -> SocketDirectories:
        """Those of a new host, with paths short enough for sockets in them."""
        parent, prefix = tempfile.gettempdir(), f"weir-plugin-{secrets.token_hex(4)}-"
        if len(os.fsencode(parent)) + 1 + len(prefix) + _MADE_BY_MKDTEMP > _LONGEST_DIRECTORY:
            parent = _FALLBACK
        return cls(parent, prefix)

    def make(self) -> Path:
        """Make a directory that only we can enter."""
        return Path(tempfile.mkdtemp(prefix=self.prefix, dir=self.parent))


def remove_socket_dir(directory: Path) -> None:
    """Remove it with the sockets that a killed plugin leaves in it."""
    shutil.rmtree(directory, ignore_errors=True)
