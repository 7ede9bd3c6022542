"""Cores and processes, as /proc shows them. Linux only."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Final, NamedTuple

from bench.errors import BenchError

_TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")
_PROC: Final = Path("/proc")
_LISTEN: Final = "0A"
_LOWEST_PRIORITY: Final = 19


class Cores(NamedTuple):
    """One core for what is measured, the others for everything else."""

    measured: int
    others: frozenset[int]


def divide_cores() -> Cores:
    """Give the last core this process may use to what is measured.

    Raises:
        BenchError: There are fewer than two, or this is not Linux.
    """
    if not hasattr(os, "sched_setaffinity"):
        raise BenchError("The benchmark pins processes to cores and reads /proc; run it on Linux.")
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        raise BenchError("The benchmark needs two cores: one for the proxy, one for upstream and load.")
    return Cores(usable[-1], frozenset(usable[:-1]))


def pin(pid: int, core: int) -> None:
    """Move every thread of a process to one core; threads it starts later follow."""
    for thread in _threads(pid):
        os.sched_setaffinity(thread, {core})


def yield_to_others(pid: int) -> None:
    """Let a process have only the time that no other wants; threads it starts later follow."""
    for thread in _threads(pid):
        os.setpriority(os.PRIO_PROCESS, thread, _LOWEST_PRIORITY)


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has used so far, all threads, user and system, to the kernel's tick."""
    fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S


def resident_mib(pid: int) -> float:
    """Resident memory now, in MiB."""
    for line in (_PROC / str(pid) / "status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def busy_seconds(cores: frozenset[int]) -> float:
    """Time these cores have spent not idle since boot, summed; includes what a hypervisor took away."""
    total = 0.0
    for line in (_PROC / "stat").read_text().splitlines():
        name, *counters = line.split()
        if name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in cores:
            ticks = [int(counter) for counter in counters[:8]]
            total += (sum(ticks) - ticks[3] - ticks[4]) * _TICK_S
    return total


def descendants(pid: int) -> list[int]:
    """Children of a process, and theirs."""
    children = (_PROC / str(pid) / "task" / str(pid) / "children").read_text().split()
    return [each for child in map(int, children) for each in (child, *descendants(child))]


def listeners(pids: list[int], port: int) -> list[int]:
    """Which of these processes hold the listening TCP socket of a port."""
    wanted = f"socket:[{_listening_inode(port)}]"
    return [pid for pid in pids if wanted in _open_files(pid)]


def describe() -> dict[str, str]:
    """What a reader needs to know about this machine to judge the figures."""
    models = [
        line.partition(":")[2].strip()
        for line in (_PROC / "cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": str(len(os.sched_getaffinity(0))),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def _threads(pid: int) -> list[int]:
    return [int(task.name) for task in (_PROC / str(pid) / "task").iterdir()]


def _listening_inode(port: int) -> str:
    for line in (_PROC / "net" / "tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
            return fields[9]
    raise BenchError(f"nothing listens on port {port}")


def _open_files(pid: int) -> set[str]:
    return {os.readlink(entry) for entry in (_PROC / str(pid) / "fd").iterdir()}
