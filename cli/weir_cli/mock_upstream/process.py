"""Start the mock upstream as a process, hold its handle, stop it."""

from __future__ import annotations

import json
import select
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from weir_cli.mock_upstream.errors import StartError
from weir_cli.mock_upstream.ledger import Ending, LedgerCall, read_endings, read_ledger

DEFAULT_KEY: Final = "sk-mock-upstream"
_START_TIMEOUT_S: Final = 20.0
_STOP_TIMEOUT_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class RunningMock:
    """A mock upstream that answers at ``url``. Its calls stand in the file ``log``."""

    url: str
    log: Path
    process: subprocess.Popen[bytes]

    def calls(self) -> list[LedgerCall]:
        """Every call so far, as the ledger has them."""
        return read_ledger(self.log)

    def endings(self) -> dict[str, Ending]:
        """How the calls ended so far, by id."""
        return read_endings(self.log)

    def behave(self, **fields: Any) -> None:
        """From now on behave so, the fields not named as at the start. Blocks for one loopback exchange."""
        request = urllib.request.Request(  # noqa: S310 - the URL is our own child's
            f"{self.url}/_mock/behaviour", data=json.dumps(fields).encode(), method="PUT"
        )
        with urllib.request.urlopen(request, timeout=_STOP_TIMEOUT_S):  # noqa: S310 - as above
            pass


@contextmanager
def running(log: Path, *, host: str = "127.0.0.1", port: int = 0, **flags: object) -> Iterator[RunningMock]:
    """Run a mock upstream for the length of a ``with`` block.

    Blocks until it listens, and at the end until it is gone. It also stops when this process dies.

    Args:
        log: The ledger file.
        host: Address to listen on.
        port: 0 picks a free one.
        flags: More flags of its command line, such as ``openai_key`` or ``chunks``.

    Raises:
        StartError: It ended or stayed silent instead of listening.
    """
    process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
        _command(log, host, port, flags), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        yield RunningMock(_ready_line(process), log, process)
    finally:
        _stop(process)


def _command(log: Path, host: str, port: int, flags: dict[str, object]) -> list[str]:
    command = [sys.executable, "-m", "weir_cli.mock_upstream", "--stop-with-stdin"]
    command += ["--log", str(log), "--host", host, "--port", str(port)]
    for name, value in flags.items():
        command += ["--" + name.replace("_", "-"), str(value)]
    return command


def _ready_line(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], _START_TIMEOUT_S)
    line = process.stdout.readline().decode().strip() if readable else ""
    if not line:
        raise StartError(
            f"The mock upstream (pid {process.pid}) printed no URL within {_START_TIMEOUT_S:g} s; "
            "its standard error says why."
        )
    return line


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
