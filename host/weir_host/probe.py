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
from collections.abc import Sequence
from typing import Final

import msgspec

from weir_core.objects import Plugin
from weir_host.commands import parse_command
from weir_host.errors import InvalidCommandError
from weir_host.trial import ProbeResult, try_out

__all__ = ["ProbeResult", "probe"]

_STDERR_KEPT: Final = 4096
_STDERR_GRACE_S: Final = 1.0


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
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "weir_host.probe"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stderr is not None
    complaints = asyncio.create_task(_last_line(child.stderr))
    try:
        async with asyncio.timeout(timeout_s):
            child.stdin.write(msgspec.json.encode(_Request(plugin, modules, sys.path)))
            child.stdin.close()
            output = await child.stdout.read()
            status = await child.wait()
    except TimeoutError:
        return ProbeResult(ok=False, reason=f"it was not ready after {timeout_s:g} s")
    finally:
        await _end(child)
        await asyncio.wait((complaints,), timeout=_STDERR_GRACE_S)
        complaints.cancel()
    try:
        return msgspec.json.decode(output, type=ProbeResult)
    except msgspec.MsgspecError:
        said = f": {complaints.result()}" if complaints.done() and not complaints.cancelled() else ""
        return ProbeResult(ok=False, reason=f"its process {_ending(status)}{said}")


async def _last_line(stream: asyncio.StreamReader) -> str:
    kept = b""
    while data := await stream.read(65536):
        kept = (kept + data)[-_STDERR_KEPT:]
    lines = kept.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


async def _end(child: asyncio.subprocess.Process) -> None:
    """Kill the child's whole session, so that nothing it started stays behind."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    await child.wait()


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
    result = await try_out(request.plugin, request.plugin_modules)
    with os.fdopen(results, "wb") as stdout:
        stdout.write(msgspec.json.encode(result))
    # Threads and tasks that the plugin left behind must not keep the process.
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(_serve_one_request())
