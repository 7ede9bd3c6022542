"""How a program behaves before a host knows it: manners of go-plugin that hosts of other makes insist on."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from weir_host.child.environment import plugin_environment
from weir_host.child.handshake import is_handshake

_COOKIE: Final = "AI_STUDIO_PLUGIN"
_PATIENCE_S: Final = 15.0


async def first_line(path: str) -> str:
    """The first line that the program prints when a host starts it; empty when it prints none in time."""
    directory = Path(tempfile.mkdtemp(prefix="weir-"))
    try:
        environment = plugin_environment(os.environ, runtime="gateway", socket_dir=directory)
        async with _running(path, environment) as (_, output):
            return await _line(output)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


async def ends_without_host(path: str) -> bool:
    """Whether it refuses to run where no host has started it, instead of waiting for one for ever."""
    environment = {name: value for name, value in os.environ.items() if name != _COOKIE}
    async with _running(path, environment) as (process, output):
        while line := await _line(output):
            if is_handshake(line):
                return False
        return output.at_eof() and await process.wait() != 0


@asynccontextmanager
async def _running(
    path: str, environment: Mapping[str, str]
) -> AsyncIterator[tuple[asyncio.subprocess.Process, asyncio.StreamReader]]:
    """Run a program, and kill it with its whole session at the end."""
    arguments = (sys.executable, path) if path.endswith(".py") else (path,)
    process = await asyncio.create_subprocess_exec(
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=environment,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        yield process, process.stdout
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.communicate()


async def _line(output: asyncio.StreamReader) -> str:
    try:
        async with asyncio.timeout(_PATIENCE_S):
            return (await output.readline()).decode("utf-8", "replace")
    except TimeoutError:
        return ""
