"""The keeper: outlives its host for a moment, to kill what the host's plugins have started.

Started by its path, in a fresh interpreter. Its standard input is a pipe from the host: ``+<process group>
<socket directory>`` for a plugin that has started, ``-<process group>`` for one that has gone. The pipe ends
when the host does.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress


def main() -> None:
    """Follow the host's plugins, and clear away those that are left at its end."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    plugins: dict[int, str] = {}
    for line in sys.stdin:
        group, _, directory = line[1:].rstrip("\n").partition(" ")
        if line[0] == "+":
            plugins[int(group)] = directory
        else:
            plugins.pop(int(group), None)
    for left, directory in plugins.items():
        with suppress(OSError):
            os.killpg(left, signal.SIGKILL)
        _remove(directory)


def _remove(directory: str) -> None:
    with suppress(OSError):
        for name in os.listdir(directory):
            os.unlink(os.path.join(directory, name))
        os.rmdir(directory)


if __name__ == "__main__":
    main()
