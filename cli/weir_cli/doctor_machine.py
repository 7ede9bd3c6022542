"""The machine below the gateway: the data directory, the running processes and their files, the clock."""

from __future__ import annotations

import os
import re
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from weir_cli.doctor_findings import Finding, Patient, in_bytes, note, ok, wrong

_PROC: Final = Path("/proc")
_DELETED: Final = " (deleted)"
_LEAST_FREE: Final = 1024**3
_FDS_BESIDE_CALLS: Final = 256
_FUTURE_S: Final = 5.0
_WRITING: Final = os.O_WRONLY | os.O_RDWR
_SUPERVISED: Final = "weir_cli."
_PROGRAM: Final = "weir"


class Holder(msgspec.Struct, frozen=True):
    """A process that has files of the data directory open; ``lost`` are those without a name by now."""

    pid: int
    command: str
    lost: list[str]


def examine_data_dir(patient: Patient) -> Iterator[Finding]:
    """Rights and free space."""
    area, root = "data dir", patient.data_dir.root
    if not root.exists():
        yield note(area, f"{root} does not exist", "weir serve makes it")
        return
    if not os.access(root, os.R_OK | os.W_OK | os.X_OK):
        yield wrong(area, f"{root} cannot be written by this user", f"chown it to uid {os.getuid()}")
    mode = root.stat().st_mode & 0o777
    if mode & 0o077:
        yield wrong(area, f"{root} is open to others (mode {mode:o})", f"chmod 700 {root}")
    keys = patient.data_dir.encryption_keys
    if keys.exists() and keys.stat().st_mode & 0o077:
        yield wrong(area, f"{keys} can be read by others", f"chmod 600 {keys}")
    free = shutil.disk_usage(root).free
    if free < _LEAST_FREE:
        yield wrong(
            area, f"{in_bytes(free)} free below {root}", "free some disk; the spool refuses when full"
        )
    else:
        yield ok(area, f"{root}, {in_bytes(free)} free")


def holders(root: Path, proc: Path = _PROC) -> list[Holder]:
    """The processes of this user, but for this one, that work in a data directory.

    Empty where there is no ``/proc``. Blocks for a pass over it.
    """
    found = []
    for entry in proc.glob("[0-9]*"):
        if entry.name == str(os.getpid()):
            continue
        mine, lost = _files_below(entry, f"{root}/")
        if mine:
            found.append(Holder(int(entry.name), _command(entry), sorted(lost)))
    return sorted(found, key=lambda holder: holder.pid)


def started_at_s(pid: int) -> float:
    """When a process began, in seconds since the epoch, to about a second; 0 when that cannot be told."""
    try:
        ticks = int((_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[19])
        boot = re.search(r"^btime (\d+)", (_PROC / "stat").read_text(), re.MULTILINE)
    except (OSError, ValueError, IndexError):
        return 0.0
    return int(boot[1]) + ticks / os.sysconf("SC_CLK_TCK") if boot else 0.0


def examine_processes(patient: Patient, running: list[Holder]) -> Iterator[Finding]:
    """What runs, whether its files still have names, and whether it may open enough of them."""
    area = "processes"
    if not running:
        yield note(area, f"none works in {patient.data_dir.root}", "weir serve starts the gateway")
    for holder in running:
        for path in holder.lost:
            yield wrong(
                area,
                f"process {holder.pid} ({holder.command}) writes to {path}, which was deleted",
                "restart it (copy what it wrote out of /proc/PID/fd before, if it is needed); delete "
                "nothing below a running gateway",
            )
    if running:
        yield ok(area, "running: " + ", ".join(f"{one.command} ({one.pid})" for one in running))
    yield from _descriptors(patient, running)


def examine_clock(patient: Patient) -> Iterator[Finding]:
    """Whether files say that it was later than now already."""
    now_s = patient.clock.wall_us() / 1_000_000
    newest = max((path.stat().st_mtime for path in _stamped(patient)), default=0.0)
    if newest > now_s + _FUTURE_S:
        yield wrong(
            "clock",
            f"it stands {newest - now_s:.0f} s before the newest file of the data directory",
            "set the clock (NTP); events are sorted, kept and erased by time",
        )
    else:
        yield ok("clock", "not before anything that was written")


def _stamped(patient: Patient) -> Iterator[Path]:
    yield from patient.spools.glob("*/*.seg")
    yield from patient.data_dir.offsets.glob("*/offsets.json")
    yield from patient.data_dir.config.glob("*.snapshot")


def _descriptors(patient: Patient, running: list[Holder]) -> Iterator[Finding]:
    area = "descriptors"
    # A call has the client's connection and one to its upstream.
    needed = 2 * patient.settings.max_in_flight + _FDS_BESIDE_CALLS
    limits = {holder.pid: limit for holder in running if (limit := _limit_of(holder.pid)) is not None}
    least = min(limits.values(), default=resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    if least != resource.RLIM_INFINITY and least < needed:
        yield wrong(
            area,
            f"a process may open {least} files, and max_in_flight needs {needed}",
            f"raise it (ulimit -n {needed}, LimitNOFILE= or ulimits:) or lower max_in_flight",
        )
    else:
        yield ok(area, f"a process may open {least} files, {needed} are needed")


def _limit_of(pid: int) -> int | None:
    try:
        text = (_PROC / str(pid) / "limits").read_text()
    except OSError:
        return None
    found = re.search(r"^Max open files\s+(\d+)", text, re.MULTILINE)
    return int(found[1]) if found else None


def _files_below(process: Path, prefix: str) -> tuple[bool, set[str]]:
    """Whether a process has files below ``prefix``, and those it writes that have lost their name."""
    mine, lost = False, set()
    for path, writes in (*_opened(process), *_mapped(process)):
        if path.startswith(prefix):
            mine = True
            if writes and path.endswith(_DELETED):
                lost.add(path.removesuffix(_DELETED))
    return mine, lost


def _opened(process: Path) -> Iterator[tuple[str, bool]]:
    try:
        entries = list((process / "fd").iterdir())
    except OSError:
        return
    for entry in entries:
        try:
            path = str(entry.readlink())
            if not path.startswith("/"):
                continue
            flags = re.search(r"^flags:\s+(\d+)", (process / "fdinfo" / entry.name).read_text(), re.MULTILINE)
        except OSError:
            continue
        yield path, bool(flags) and bool(int(flags[1], 8) & _WRITING) if flags else False


def _mapped(process: Path) -> Iterator[tuple[str, bool]]:
    try:
        lines = (process / "maps").read_text(errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and fields[5].startswith("/"):
            yield fields[5], "w" in fields[1] and "s" in fields[1]


def _command(process: Path) -> str:
    """A child's own name, or the command's."""
    try:
        words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return "?"
    if len(words) > 2 and Path(words[1]).name == _PROGRAM:
        return f"{_PROGRAM} {words[2]}"
    module, *arguments = next(
        (words[at:] for at, word in enumerate(words) if word.startswith(_SUPERVISED)), words[1:2] or words
    )
    named = arguments and arguments[0] and not arguments[0].startswith("-")
    return arguments[0] if named else Path(module).name
