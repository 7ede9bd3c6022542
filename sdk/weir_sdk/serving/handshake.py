"""How a plugin process and its host find each other: the cookie, the socket, the line on standard output."""

from __future__ import annotations

import os
import socket
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from weir_sdk.services import Runtime

_COOKIE: Final = ("AI_STUDIO_PLUGIN", "v1")
_CORE_PROTOCOL: Final = 1
_APP_PROTOCOL: Final = 1

# sun_path holds 108 bytes on Linux and 104 elsewhere, the last of them zero.
_LONGEST_PATH: Final = 107 if os.uname().sysname == "Linux" else 103
_PREFIX: Final = "plugin"


class CannotServeError(Exception):
    """This process cannot be a plugin; the message is for whoever started it."""


def check_cookie(environ: Mapping[str, str]) -> None:
    """See to it that a plugin host started this process.

    Raises:
        CannotServeError: Somebody else did.
    """
    name, value = _COOKIE
    if environ.get(name) != value:
        raise CannotServeError(
            "This program is a plugin for an LLM gateway and is not meant to be run by hand. Make it "
            "executable and name it in a plugin's command: file:///absolute/path/to/this/file"
        )


def detect_runtime(environ: Mapping[str, str]) -> Runtime:
    """Where the plugin runs, by the rules of Go's SDK; the reference's gateway says so only in some modes."""
    named = environ.get("PLUGIN_RUNTIME")
    if named in ("gateway", "studio"):
        return cast("Runtime", named)
    if environ.get("GATEWAY_MODE") in ("edge", "standalone_gateway"):
        return "gateway"
    return "gateway" if environ.get("MICROGATEWAY_MODE") == "standalone" else "studio"


@dataclass(frozen=True, slots=True)
class SocketPlace:
    """Where the plugin listens: a path that only its own user can reach."""

    path: Path
    own_directory: Path | None

    @classmethod
    def make(cls, environ: Mapping[str, str]) -> SocketPlace:
        """Find a place: in the host's private directory if it gave one, else in a new one of our own.

        Raises:
            CannotServeError: No path is short enough for a socket.
        """
        given = environ.get("PLUGIN_UNIX_SOCKET_DIR")
        if given and _is_private(Path(given)):
            path = Path(given, f"{_PREFIX}{os.getpid()}")
            if _fits(path):
                return cls(path, None)
        for parent in (given, tempfile.gettempdir(), "/tmp"):  # noqa: S108 - the directory made in it is private
            if parent and _fits(Path(parent, f"{_PREFIX}12345678", "s")):
                directory = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
                return cls(directory / "s", directory)
        raise CannotServeError(
            f"There is no directory with a path short enough for a socket ({_LONGEST_PATH} bytes); "
            "set TMPDIR to a shorter one."
        )

    def remove(self) -> None:
        """Remove the socket, and its directory if that is ours. Never raises."""
        try:
            self.path.unlink(missing_ok=True)
            if self.own_directory is not None:
                self.own_directory.rmdir()
        except OSError:
            return


def handshake_line(path: Path) -> bytes:
    """The line that tells the host where the plugin listens."""
    return b"%d|%d|unix|%s|grpc|\n" % (_CORE_PROTOCOL, _APP_PROTOCOL, os.fsencode(path))


def _fits(path: Path) -> bool:
    return len(os.fsencode(path)) <= _LONGEST_PATH and hasattr(socket, "AF_UNIX")


def _is_private(directory: Path) -> bool:
    try:
        status = directory.stat()
    except OSError:
        return False
    return status.st_uid == os.getuid() and not stat.S_IMODE(status.st_mode) & 0o077
