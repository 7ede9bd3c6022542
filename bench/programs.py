"""The compiled programs: built when their sources are newer, run for one turn or beside all of them."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from bench.errors import BenchError

_HERE: Final = Path(__file__).parent
_SOURCES: Final = _HERE / "load"
_BUILD: Final = _HERE / ".build"
_STOP_TIMEOUT_S: Final = 10.0
_GRACE_S: Final = 30.0


class Programs(NamedTuple):
    """Where the built programs are."""

    upstream: Path
    client: Path


class Quantity(msgspec.Struct, frozen=True):
    """A distribution, in microseconds."""

    p50: float
    p90: float
    p99: float
    mean: float
    max: float


class LoadReport(msgspec.Struct, frozen=True):
    """What one run of the load generator saw; only ``all_requests`` includes its warm-up."""

    connections: int
    seconds: float
    all_requests: int
    requests: int
    requests_per_second: float
    events: int
    events_per_second: float
    latency_us: Quantity
    first_byte_us: Quantity
    errors: int
    error_samples: list[str]


class Load(NamedTuple):
    """One run of the load generator: what to send where, how hard, and how long a right answer's body is."""

    address: str
    path: str
    headers: tuple[str, ...]
    body: Path
    expect_bytes: int
    connections: int
    seconds: float
    warmup_s: float


def build() -> Programs:
    """Compile what is out of date. Blocks for some seconds the first time.

    Raises:
        BenchError: There is no Go, or the sources do not compile.
    """
    programs = Programs(_BUILD / "upstream", _BUILD / "client")
    newest = max(path.stat().st_mtime for path in _SOURCES.rglob("*") if path.is_file())
    if all(program.exists() and program.stat().st_mtime >= newest for program in programs):
        return programs
    if shutil.which("go") is None:
        raise BenchError(
            "The benchmark's upstream and load generator are written in Go, and no `go` is on the PATH. "
            "Install Go 1.22 or newer (only its standard library is used) and run this again."
        )
    _BUILD.mkdir(exist_ok=True)
    command = ["go", "build", "-o", f"{_BUILD}/", "./..."]
    result = subprocess.run(command, cwd=_SOURCES, stderr=subprocess.PIPE, text=True, check=False)
    if result.returncode != 0:
        raise BenchError(f"{' '.join(command)} failed in {_SOURCES}:\n{result.stderr}")
    return programs


@contextmanager
def announced(command: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Run a program that prints one JSON line when it is ready; give its pid and that line.

    It is stopped by the end of its standard input, hence also when this process is killed.

    Raises:
        BenchError: It ended without the line.
    """
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise BenchError(f"{command[0]} ended instead of listening; its standard error says why")
        yield process.pid, json.loads(line)
    finally:
        process.stdin.close()
        process.stdout.close()
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def run_load(program: Path, load: Load) -> LoadReport:
    """Run the load generator once; blocks until it is done.

    Raises:
        BenchError: It failed, or not every answer was right.
    """
    command = [str(program), "-address", load.address, "-path", load.path, "-body", str(load.body)]
    command += ["-expect", str(load.expect_bytes), "-connections", str(load.connections)]
    command += ["-duration", f"{load.seconds}s", "-warmup", f"{load.warmup_s}s"]
    for header in load.headers:
        command += ["-header", header]
    timeout = load.seconds + load.warmup_s + _GRACE_S
    result = subprocess.run(command, stdout=subprocess.PIPE, timeout=timeout, check=False)
    if result.returncode != 0:
        raise BenchError(f"the load generator failed on {load.address}{load.path}; see its message above")
    report = msgspec.json.decode(result.stdout, type=LoadReport)
    if report.errors or not report.requests:
        raise BenchError(
            f"{report.errors} wrong answers and {report.requests} right ones from {load.address}{load.path}: "
            f"{'; '.join(report.error_samples) or 'too slow to complete one'}"
        )
    return report
