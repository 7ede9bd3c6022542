"""``weir serve`` as a user starts it, in a directory of its own."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.support.environment import weir_environment

_WEIR = Path(sys.executable).with_name("weir")
# The last line of the greeting before its closing empty line.
_LAST_FACT = "  data "


class Serving:
    """A running ``weir serve``. ``greeting`` is what it printed when it was ready."""

    def __init__(self, directory: Path, *flags: str) -> None:
        self.directory = directory
        self.log_path = directory / "weir.log"
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [_WEIR, "serve", *flags],
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=weir_environment(),
            )
        self.greeting = self._read_greeting(demo="--demo" in flags)

    def _read_greeting(self, *, demo: bool) -> str:
        assert self.process.stdout is not None
        last = "print(" if demo else _LAST_FACT
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if line.startswith(last):
                return "".join(lines)
        raise AssertionError(f"weir serve ended: {self.log_path.read_text()}")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait()

    def log(self) -> str:
        return self.log_path.read_text()


@contextlib.contextmanager
def serving(directory: Path, *flags: str) -> Iterator[Serving]:
    running = Serving(directory, *flags)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait()
        if running.process.stdout is not None:
            running.process.stdout.close()


def run_shell(script: str, directory: Path, environment: dict[str, str]) -> str:
    """Run lines of shell as a user pastes them; a machine without curl gets a stand-in for it."""
    stand_in = f'curl() {{ {shlex.quote(sys.executable)} {shlex.quote(_STAND_IN)} "$@"; }}\n'
    done = subprocess.run(
        ["sh", "-e", "-c", stand_in + script],
        cwd=directory,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


_STAND_IN = str(Path(__file__).with_name("curl_stand_in.py"))
