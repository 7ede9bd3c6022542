"""The keeper: outlives its host for a moment, to kill what the host's plugins have started.

Started by its path, in a fresh interpreter. Its arguments are the folder of the plugins' socket directories
and what their names begin with. Its standard input is a pipe from the host: ``+<process group>`` for a plugin
that has started, ``-<process group>`` for one that has gone. The pipe ends when the host does.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress

_LOOKS = 100
_LOOK_EVERY_S = 0.01


def main() -> None:
    """Follow the host's plugins, and clear away what is left of them at its end."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        group = int(line[1:])
        if line[0] == "+":
            groups.add(group)
        else:
            groups.discard(group)
    for left in groups:
        with suppress(OSError):
            os.killpg(left, signal.SIGKILL)
    parent, prefix = sys.argv[1:]
    for name in os.listdir(parent):
        if name.startswith(prefix):
            _remove(os.path.join(parent, name))


def _remove(directory: str) -> None:
    # A process that is being killed may still put a socket there.
    for _ in range(_LOOKS):
        with suppress(OSError):
            for name in os.listdir(directory):
                os.unlink(os.path.join(directory, name))
            os.rmdir(directory)
        if not os.path.exists(directory):
            return
        time.sleep(_LOOK_EVERY_S)


if __name__ == "__main__":
    main()
