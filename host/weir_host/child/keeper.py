"""The host's side of the keeper: what dies with us even if we are killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

from weir_host.child.socket_dir import SocketDirectories

_PROGRAM: Final = Path(__file__).with_name("keep.py")


class Keeper:
    """Says which process groups must not outlive this process, and makes the directories that go with them.

    The kernel kills a plugin's own process with us, but not what the plugin started. So one small process,
    started before the first plugin, waits for our end and then kills their groups and removes what is left of
    their directories, which it knows by their names. A process that a plugin puts in a group of its own (a
    daemon) can get away.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._groups: set[int] = set()
        self._directories = SocketDirectories.anew()

    def make_directory(self) -> Path:
        """Make a private directory for a plugin's sockets, which does not outlive us.

        Raises:
            OSError: It cannot be made, or the keeper cannot be started.
        """
        if self._process is None:
            self._start()
        return self._directories.make()

    def add(self, group: int) -> None:
        """Watch over a group.

        Raises:
            OSError: The keeper cannot be started.
        """
        self._groups.add(group)
        if not self._say(f"+{group}"):
            self._start()

    def remove(self, group: int) -> None:
        """The group is gone."""
        self._groups.discard(group)
        self._say(f"-{group}")

    def close(self) -> None:
        """End the keeper, and with it every group that is left; waits for the few milliseconds it takes."""
        if self._process is not None:
            self._hang_up(self._process)
            self._process = None

    def _start(self) -> None:
        """Start the keeper; also when an earlier one has been killed."""
        if self._process is not None:
            self._hang_up(self._process)
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            (sys.executable, "-I", "-S", str(_PROGRAM), *self._directories),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={},
            bufsize=0,
            start_new_session=True,
        )
        for group in self._groups:
            self._say(f"+{group}")

    def _say(self, line: str) -> bool:
        if self._process is None or self._process.stdin is None:
            return False
        try:
            self._process.stdin.write(f"{line}\n".encode())
        except BrokenPipeError:
            return False
        return True

    @staticmethod
    def _hang_up(process: subprocess.Popen[bytes]) -> None:
        if process.stdin is not None:
            process.stdin.close()
        process.wait()
