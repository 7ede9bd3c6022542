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
        theirs, ours = os.pipe()
        try:
            child = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "weir_host.probe"),
                stdin=theirs,
                stdout=answer,
                stderr=complaints,
                start_new_session=True,
            )
        except BaseException:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        # Not the loop's own pipe: uvloop may find it closed before anything was written.
        asking = asyncio.create_task(asyncio.to_thread(_write, ours, request))
        try:
            async with asyncio.timeout(timeout_s):
                status = await child.wait()
        except TimeoutError:
            return ProbeResult(ok=False, reason=f"it was not ready after {timeout_s:g} s")
        finally:
            await _end(child)
            await asking
        answer.seek(0)
        try:
            return msgspec.json.decode(answer.read(), type=ProbeResult)
        except msgspec.MsgspecError:
            return ProbeResult(ok=False, reason=f"its process {_ending(status)}{_last_line(complaints)}")


def _tuple(names: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if names is None else tuple(names)


def _write(pipe: int, request: bytes) -> None:
    """Write all of it and close the pipe; ends at the latest when nobody reads any more."""
    with contextlib.suppress(BrokenPipeError), os.fdopen(pipe, "wb") as stream:
        stream.write(request)


async def _end(child: asyncio.subprocess.Process) -> None:
    """Kill the child's whole session, so that nothing it started stays behind."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    await child.wait()


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
