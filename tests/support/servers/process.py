"""One server process of ours: started, waited for, killed, and never left behind."""

from __future__ import annotations

import atexit
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.support.servers.errors import ServerFailedError

_POLL_S: Final = 0.05
_READY_WITHIN_S: Final = 90.0
_STOP_WITHIN_S: Final = 20.0
_LOG_TAIL: Final = 4000


class ServerProcess:
    """A command that is run until it is stopped; start again after an end as often as needed.

    Args:
        name: What messages call it.
        log_path: Gets everything it prints, over all its starts.
        user: Name of the account that it runs as, for servers that refuse to be root.
    """

    def __init__(self, name: str, log_path: Path, *, user: str | None = None) -> None:
        self.name = name
        self.log_path = log_path
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None
        atexit.register(self.kill)

    @property
    def pid(self) -> int:
        """The process that was started last."""
        assert self._process is not None, f"{self.name} was never started"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        """Start it; ``wait_ready`` says when it serves."""
        assert not self.is_running, f"{self.name} runs already"
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=None if environment is None else dict(environment),
                user=self._user,
                start_new_session=True,
            )

    def wait_ready(self, is_ready: Callable[[], bool], within_s: float = _READY_WITHIN_S) -> None:
        """Ask until it is. Blocks.

        Raises:
            ServerFailedError: It ended, or was not ready in time.
        """
        deadline = time.monotonic() + within_s
        while not is_ready():
            if not self.is_running:
                raise ServerFailedError(f"{self.name} ended at its start: {self.log_tail()}")
            if time.monotonic() > deadline:
                raise ServerFailedError(f"{self.name} is not ready after {within_s} s: {self.log_tail()}")
            time.sleep(_POLL_S)

    def stop(self) -> None:
        """Ask it to end, and kill it when it does not. Blocks."""
        if self._process is None or not self.is_running:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if self._process is not None and self.is_running:
            self._process.kill()
            self._process.wait()

    def log_tail(self) -> str:
        """The end of what it printed."""
        return self.log_path.read_text(errors="replace")[-_LOG_TAIL:]
