"""Try a plugin out in a process of its own, so that one that hangs or crashes can hurt nobody.

``probe`` is for the management plane. ``python -m weir_host.probe`` is the process it starts: the request
comes on stdin (a configuration holds secrets, and everybody can see arguments), the result goes to stdout.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import IO, Final

import msgspec

from weir_core.objects import Plugin
from weir_host.commands import parse_command
from weir_host.errors import InvalidCommandError
from weir_host.process_end import when_ended
from weir_host.trial import ProbeResult, try_out

__all__ = ["ProbeResult", "probe"]

_COMPLAINTS_SHOWN: Final = 4096


class _Request(msgspec.Struct):
    plugin: Plugin
    plugin_modules: tuple[str, ...] | None
    plugin_dirs: tuple[str, ...] | None
    sys_path: list[str]


async def probe(
    plugin: Plugin,
    plugin_modules: Sequence[str] | None,
    plugin_dirs: Sequence[str] | None = None,
    timeout_s: float = 30.0,
) -> ProbeResult:
    """Import, construct, check the configuration, initialise and shut down; never raises.

    Args:
        plugin: As it is going to be stored.
        plugin_modules: As for ``PluginHost``.
        plugin_dirs: Likewise.
        timeout_s: For all of it together; then the process is killed, with whatever it started.
    """
    try:
        parse_command(plugin.command)
    except InvalidCommandError as error:
        return ProbeResult(ok=False, reason=str(error))
    request = msgspec.json.encode(_Request(plugin, _tuple(plugin_modules), _tuple(plugin_dirs), sys.path))
    try:
        return await _ask(request, timeout_s)
    except OSError as error:
        return ProbeResult(ok=False, reason=f"no process can be started to try it out: {error}")


async def _ask(request: bytes, timeout_s: float) -> ProbeResult:
    # Files and not pipes: a process that the plugin left behind could keep a pipe open for ever.
    with tempfile.TemporaryFile() as answer, tempfile.TemporaryFile() as complaints:
        ended = asyncio.Event()
        child = _start(answer, complaints, ended)
        # In a thread, which a child that does not read holds up until it is killed.
        asking = asyncio.create_task(asyncio.to_thread(_write, child, request))
        try:
            async with asyncio.timeout(timeout_s):
                await ended.wait()
        except TimeoutError:
            return ProbeResult(ok=False, reason=f"it was not ready after {timeout_s:g} s")
        finally:
            _kill(child)
            await ended.wait()
            child.wait()
            await asking
        answer.seek(0)
        try:
            return msgspec.json.decode(answer.read(), type=ProbeResult)
        except msgspec.MsgspecError:
            ending = _ending(child.returncode)
            return ProbeResult(ok=False, reason=f"its process {ending}{_last_line(complaints)}")


def _start(answer: IO[bytes], complaints: IO[bytes], ended: asyncio.Event) -> subprocess.Popen[bytes]:
    """Start the process.

    Not through the event loop: uvloop's fork runs Python in the child before it is another program. Where
    there are threads, gRPC's for instance, that can hang for ever, and the loop waits for it.
    """
    child = subprocess.Popen(
        (sys.executable, "-P", "-m", "weir_host.probe"),
        stdin=subprocess.PIPE,
        stdout=answer,
        stderr=complaints,
        start_new_session=True,
    )
    try:
        when_ended(child.pid, ended.set)
    except OSError:
        _kill(child)
        child.communicate()
        raise
    return child


def _tuple(names: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if names is None else tuple(names)


def _write(child: subprocess.Popen[bytes], request: bytes) -> None:
    """Write all of it and close the pipe; ends at the latest when nobody reads any more."""
    assert child.stdin is not None
    with contextlib.suppress(BrokenPipeError), child.stdin as stdin:
        stdin.write(request)


def _kill(child: subprocess.Popen[bytes]) -> None:
    """Kill the child's whole session, so that nothing it started stays behind."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


def _last_line(complaints: IO[bytes]) -> str:
    complaints.seek(max(0, complaints.seek(0, os.SEEK_END) - _COMPLAINTS_SHOWN))
    lines = complaints.read().decode(errors="replace").strip().splitlines()
    return f": {lines[-1]}" if lines else ""


def _ending(status: int) -> str:
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"ended with exit code {status}"


async def _serve_one_request() -> None:
    """The child's part. Whatever the plugin prints goes to stderr; only the result may go to stdout."""
    results = os.dup(1)
    os.dup2(2, 1)
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=_Request)
    sys.path[:] = request.sys_path
    result = await try_out(request.plugin, request.plugin_modules, request.plugin_dirs)
    with os.fdopen(results, "wb") as stdout:
        stdout.write(msgspec.json.encode(result))
    # Threads and tasks that the plugin left behind must not keep the process.
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(_serve_one_request())
