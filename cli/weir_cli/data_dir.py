"""The data directory: where each thing lies, who may read it, and that only one gateway uses it."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from weir_cli.errors import DataDirError, DataDirInUseError

# The smallest size of sockaddr_un.sun_path among the systems we run on (macOS), with its closing NUL.
_MAX_SOCKET_PATH: Final = 103
_LONGEST_SOCKET_NAME: Final = len("internal.sock")
_LEFTOVERS_WAIT_S: Final = 3.0
_POLL_S: Final = 0.05
_SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - a directory of our own is made in it


@dataclass(frozen=True, slots=True)
class DataDir:
    """Paths below ``data_dir``. The whole directory is for its owner only: it holds bodies and keys."""

    root: Path

    @property
    def database(self) -> Path:
        return self.root / "weir.db"

    @property
    def encryption_keys(self) -> Path:
        return self.root / "encryption-keys"

    @property
    def demo(self) -> Path:
        return self.root / "demo.json"

    @property
    def spool(self) -> Path:
        return self.root / "spool"

    @property
    def offsets(self) -> Path:
        return self.root / "offsets"

    @property
    def config(self) -> Path:
        return self.root / "config"

    @property
    def streams(self) -> Path:
        return self.root / "streams"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def metrics(self) -> Path:
        """The processes' mapped counters; in memory where there is such a file system.

        A mapped file on a full disk would kill the process that counts with SIGBUS.
        """
        if os.access(_SHARED_MEMORY, os.W_OK | os.X_OK):
            return _SHARED_MEMORY / self._private_name
        return self.run / "metrics"

    @property
    def lock(self) -> Path:
        return self.root / "LOCK"

    @property
    def sockets(self) -> Path:
        """``run/``, or a private temporary directory where that is too long for a unix socket."""
        if len(os.fsencode(self.run)) + 1 + _LONGEST_SOCKET_NAME <= _MAX_SOCKET_PATH:
            return self.run
        return Path(tempfile.gettempdir()) / self._private_name

    @property
    def _private_name(self) -> str:
        """For what cannot lie in the data directory: one name for each user and directory."""
        digest = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:16]
        return f"weir-{os.getuid()}-{digest}"

    @property
    def control_socket(self) -> Path:
        """Where control serves the management API."""
        return self.sockets / "control.sock"

    @property
    def internal_socket(self) -> Path:
        """Where control takes the other children's reports; nothing from outside is handed to it."""
        return self.sockets / "internal.sock"

    @classmethod
    def at(cls, path: Path) -> Self:
        """Make the directory where it is missing.

        Raises:
            DataDirError: It cannot be made or written.
        """
        data_dir = cls(path.absolute())
        try:
            data_dir.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise DataDirError(f"cannot make the data directory {path}: {error.strerror}") from error
        if not os.access(data_dir.root, os.W_OK | os.X_OK):
            raise DataDirError(f"cannot write to the data directory {path}; choose another with --data-dir")
        return data_dir

    def prepare_run(self) -> None:
        """Empty what belongs to one run only. To be called under the lock.

        Raises:
            DataDirError: A directory for sockets or counters belongs to somebody else.
        """
        shutil.rmtree(self.run, ignore_errors=True)
        shutil.rmtree(self.metrics, ignore_errors=True)
        self.run.mkdir(mode=0o700)
        for directory in (self.metrics, self.sockets):
            _make_private(directory)
        self.control_socket.unlink(missing_ok=True)

    def forget_run(self) -> None:
        """Remove what would take up memory after the run."""
        shutil.rmtree(self.metrics, ignore_errors=True)


def _make_private(directory: Path) -> None:
    directory.mkdir(mode=0o700, exist_ok=True)
    status = directory.lstat()
    if status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise DataDirError(f"{directory} is not private to this user; remove it or use another --data-dir")


class DataDirLock:
    """Held by the supervisor and, through the inherited descriptor, by each of its children.

    So a new supervisor cannot begin while a child of a killed one is still alive.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd

    @classmethod
    async def take(
        cls, data_dir: DataDir, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> DataDirLock:
        """Lock the directory; wait a moment for the children of a killed supervisor to be gone.

        Raises:
            DataDirInUseError: Another ``weir serve`` holds it and goes on holding it.
        """
        fd = os.open(data_dir.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        waited_s = 0.0
        while not _try_lock(fd):
            if waited_s >= _LEFTOVERS_WAIT_S:
                owner = os.pread(fd, 32, 0).decode() or "just starting"
                os.close(fd)
                raise DataDirInUseError(
                    f"{data_dir.root} is already served by another weir serve (process {owner}); "
                    "stop it first, or choose another --data-dir"
                )
            await sleep(_POLL_S)
            waited_s += _POLL_S
        os.ftruncate(fd, 0)
        os.pwrite(fd, str(os.getpid()).encode(), 0)
        return cls(fd)

    def release(self) -> None:
        """Give up this process's hold."""
        os.close(self.fd)


def write_private(path: Path, content: bytes) -> None:
    """Replace a file in one step, durable and readable by its owner only."""
    temporary = path.with_name(path.name + ".new")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        os.fchmod(fd, 0o600)
        file.write(content)
        file.flush()
        os.fsync(fd)
    temporary.replace(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
