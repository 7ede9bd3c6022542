"""Weir as its users run it: one ``weir serve`` on a data directory of its own."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import httpx2

from bench.errors import BenchError
from bench.gateway_setup import Setup, WeirTargets
from bench.machine import descendants, listeners, pin, yield_to_others
from bench.waiting import until

_ROOT: Final = Path(__file__).parent.parent
_START_TIMEOUT_S: Final = 60.0
_STOP_TIMEOUT_S: Final = 60.0


@contextmanager
def gateway(origin: str, core: int, work: Path, hooks: Sequence[int]) -> Iterator[WeirTargets]:
    """Run Weir with an LLM for each of its targets, its proxy worker on ``core``, all else where we are.

    Its log is ``weir.log`` in ``work``.

    Raises:
        BenchError: It did not start, refused its configuration, or a plugin did not become ready.
    """
    port = _free_port()
    token = secrets.token_urlsafe(32)
    process = _start(work, port, token)
    try:
        headers = {"authorization": f"Bearer {token}"}
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", headers=headers) as client:
            until(lambda: _is_ready(client, process), _START_TIMEOUT_S, "weir serve was not ready")
            worker = _worker(process.pid, port)
            targets = Setup(client, f"127.0.0.1:{port}", worker).complete(origin, hooks)
        # Last, so that threads which plugins started are moved too.
        _place(process.pid, worker, core)
        yield targets
    except BenchError as error:
        raise BenchError(f"{error}\n{_end_of_log(work)}") from error
    finally:
        _stop(process)


def _place(supervisor: int, worker: int, core: int) -> None:
    """The worker alone on its core; the rest gives way to the load, as if it had cores of its own."""
    pin(worker, core)
    for pid in (supervisor, *descendants(supervisor)):
        if pid != worker:
            yield_to_others(pid)


def _start(work: Path, port: int, token: str) -> subprocess.Popen[bytes]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WEIR_")}
    path = os.pathsep.join(filter(None, (str(_ROOT), environment.get("PYTHONPATH"))))
    environment |= {"WEIR_ADMIN_TOKEN": token, "PYTHONPATH": path}
    command = [str(Path(sys.executable).with_name("weir")), "serve", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--data-dir", str(work / "data")]
    with _log(work).open("wb") as log:
        return subprocess.Popen(command, cwd=work, env=environment, stdout=log, stderr=log)


def _is_ready(client: httpx2.Client, process: subprocess.Popen[bytes]) -> bool:
    if process.poll() is not None:
        raise BenchError(f"weir serve ended with {process.returncode} while it started")
    with suppress(httpx2.TransportError):
        return client.get("/ready").status_code == 200
    return False


def _worker(supervisor_pid: int, port: int) -> int:
    holders = listeners(descendants(supervisor_pid), port)
    if len(holders) != 1:
        raise BenchError(f"expected one proxy worker to hold port {port}, found processes {holders}")
    return holders[0]


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _log(work: Path) -> Path:
    return work / "weir.log"


def _end_of_log(work: Path) -> str:
    lines = _log(work).read_text(errors="replace").splitlines()
    return "\n".join(["weir serve's log ends with:", *lines[-20:]])
