"""Try a plugin out in a process of its own, so that one that hangs or crashes can hurt nobody.

``probe`` is for the management plane. ``python -m weir_host.probe`` is the process it starts: the request
comes on stdin (a configuration holds secrets, and everybody can see arguments), the result goes to stdout.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from typing import IO, Final

import msgspec

from weir_core.objects import Plugin
from weir_host.commands import parse_command
from weir_host.errors import InvalidCommandError
from weir_host.trial import ProbeResult, try_out

__all__ = ["ProbeResult", "probe"]

_LONGEST_RESULT: Final = 16 * 1024 * 1024
_COMPLAINTS_SHOWN: Final = 4096
_END_GRACE_S: Final = 1.0


class _Request(msgspec.Struct):
    plugin: Plugin
    plugin_modules: tuple[str, ...] | None
    sys_path: list[str]


async def probe(plugin: Plugin, plugin_modules: Sequence[str] | None, timeout_s: float = 30.0) -> ProbeResult:
    """Import, construct, check the configuration, initialise and shut down; the plugin cannot make it raise.

    Args:
        plugin: As it is going to be stored.
        plugin_modules: As for ``PluginHost``.
        timeout_s: For all of it together; then the process is killed, with whatever it started.
    """
    try:
        parse_command(plugin.command)
    except InvalidCommandError as error:
        return ProbeResult(ok=False, reason=str(error))
    modules = None if plugin_modules is None else tuple(plugin_modules)
    request = msgspec.json.encode(_Request(plugin, modules, sys.path))
    with tempfile.TemporaryFile() as complaints:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "weir_host.probe"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=complaints,
            start_new_session=True,
            limit=_LONGEST_RESULT,
        )
        try:
            async with asyncio.timeout(timeout_s):
                answer = await _ask(child, request)
        except TimeoutError:
            return ProbeResult(ok=False, reason=f"it was not ready after {timeout_s:g} s")
        except ValueError:
            return ProbeResult(ok=False, reason=f"its config schema is over {_LONGEST_RESULT} bytes")
        finally:
            await _end(child)
        try:
            return msgspec.json.decode(answer, type=ProbeResult)
        except msgspec.MsgspecError:
            said = _last_line(complaints)
            return ProbeResult(ok=False, reason=f"its process {_ending(child.returncode)}{said}")


async def _ask(child: asyncio.subprocess.Process, request: bytes) -> bytes:
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(request)
    child.stdin.close()
    # One line, not all there is: a process that the plugin left behind may keep the pipe open.
    return await child.stdout.readline()


async def _end(child: asyncio.subprocess.Process) -> None:
    """Kill the child's whole session, so that nothing it started stays behind."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_END_GRACE_S):
            await child.wait()


def _last_line(complaints: IO[bytes]) -> str:
    complaints.seek(max(0, complaints.seek(0, os.SEEK_END) - _COMPLAINTS_SHOWN))
    lines = complaints.read().decode(errors="replace").strip().splitlines()
    return f": {lines[-1]}" if lines else ""


def _ending(status: int | None) -> str:
    if status is None:
        return "does not end"
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"ended with exit code {status}"


async def _serve_one_request() -> None:
    """The child's part. Whatever the plugin prints goes to stderr; only the result may go to stdout."""
    results = os.dup(1)
    os.dup2(2, 1)
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=_Request)
    sys.path[:] = request.sys_path
    result = await try_out(request.plugin, request.plugin_modules)
    with os.fdopen(results, "wb") as stdout:
        stdout.write(msgspec.json.encode(result) + b"\n")
    # Threads and tasks that the plugin left behind must not keep the process.
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(_serve_one_request())
