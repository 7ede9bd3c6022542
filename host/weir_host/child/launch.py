"""Becomes a plugin: ``python launch.py <host's pid> exec <path> <name>`` or ``... run <fd> <path>``.

The host starts this file by its path, in a fresh interpreter, instead of the plugin: what has to happen in
the child between fork and exec cannot be done safely from a process with threads. It imports nothing of ours.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import sys
from contextlib import suppress
from types import ModuleType
from typing import NoReturn

_PR_SET_PDEATHSIG = 1
_CANNOT_EXECUTE = 126
_MORE_LIKELY = 500
_MOST_LIKELY = 1000


def main() -> None:
    """Die with the host from now on, and before it where memory runs out; then be the plugin."""
    host_pid, form, first, second = sys.argv[1:]
    _die_with(int(host_pid))
    _go_first_when_memory_runs_out()
    if form == "exec":
        _execute(first, second)
    else:
        _run_python(int(first), second)


def _die_with(host_pid: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != host_pid:
        # The host ended before the kernel was told to end us with it.
        os._exit(1)


def _go_first_when_memory_runs_out() -> None:
    """A plugin that leaks is for the kernel to end before the gateway; children of a plugin inherit that."""
    with suppress(OSError, ValueError), open("/proc/self/oom_score_adj", "r+", encoding="ascii") as score:
        more = min(int(score.read()) + _MORE_LIKELY, _MOST_LIKELY)
        score.seek(0)
        score.write(str(more))


def _execute(path: str, name: str) -> NoReturn:
    """``path`` may be ``/proc/self/fd/N``, the file whose checksum fits; ``name`` is its own."""
    try:
        os.execv(path, [name])  # noqa: S606 - that is what we are for
    except OSError as error:
        hint = "; a script needs a #! line" if error.errno == errno.ENOEXEC else ""
        print(f"{name} cannot be executed: {error.strerror}{hint}", file=sys.stderr)  # noqa: T201
        sys.exit(_CANNOT_EXECUTE)


def _run_python(fd: int, path: str) -> None:
    """Run a script from an open file as ``python <path>`` would run it."""
    with open(fd, "rb") as file:
        source = file.read()
    module = ModuleType("__main__")
    module.__dict__.update(__file__=path, __builtins__=__builtins__)
    sys.modules["__main__"] = module
    sys.argv = [path]
    sys.path.insert(0, os.path.dirname(path))
    exec(compile(source, path, "exec"), module.__dict__)  # noqa: S102 - that is what we are for


if __name__ == "__main__":
    main()
