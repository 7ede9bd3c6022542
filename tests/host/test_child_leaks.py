"""What a plugin's process leaves behind: nothing, however often it is started and however we end."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.host.programs import (
    LONG,
    WIRE_PLUGIN,
    a_plugin,
    children,
    group_of,
    is_there,
    keepers,
    sockets_left,
    until,
)

from weir_core.objects import Plugin
from weir_core.snapshot import Snapshot
from weir_host.calls import CallInfo
from weir_host.errors import PluginNotReadyError
from weir_host.host import PluginHost
from weir_sdk.testing import make_request

HostOf = Callable[..., PluginHost]
ProgramOf = Callable[..., str]
AT_ONCE = 4

pytestmark = pytest.mark.crash


def held(sockets: Path) -> dict[str, Any]:
    """What this process holds of what a plugin's process takes."""
    gc.collect()
    return {
        "processes": len(children() - keepers()),
        "files": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
        "tasks": len(asyncio.all_tasks()),
        "socket directories": len(sockets_left(sockets)),
    }


async def test_two_hundred_restarts_leave_nothing_behind(
    child_host: HostOf, program: ProgramOf, call: CallInfo, own_temp_dir: Path
) -> None:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    host, command = child_host(), program(WIRE_PLUGIN)

    def plugins(generation: int) -> list[Plugin]:
        return [a_plugin(command, id=number, generation=generation) for number in range(AT_ONCE)]

    async def crash(number: int, restarts: int) -> None:
        plugin = host.get(number)
        assert plugin is not None
        with pytest.raises(PluginNotReadyError):
            await plugin.post_auth(call, make_request(body=b"os._exit(1)"))
        await until(lambda: host.states()[number].restarts == restarts and plugin.state == "ready")

    async def restart_all(turn: int) -> None:
        """Each of them once by a crash and once by a change."""
        await host.apply(Snapshot(turn, plugins(turn)), LONG)
        await asyncio.gather(*(crash(number, turn) for number in range(AT_ONCE)))
        await until(lambda: len(children() - keepers()) == AT_ONCE)

    for turn in range(1, 4):
        await restart_all(turn)
    before = held(own_temp_dir)
    for turn in range(4, 26):
        await restart_all(turn)
    # What ends in the background may take its time, but it ends.
    await until(lambda: all(now <= before[name] for name, now in held(own_temp_dir).items()))
    await host.close()
    after = held(own_temp_dir)
    assert (after["processes"], after["socket directories"]) == (0, 0)
    await until(lambda: len(asyncio.all_tasks()) == 1)


HOST = """
import asyncio, sys, tempfile
from weir_core.clock import SystemClock
from weir_core.objects import Plugin
from weir_core.snapshot import Snapshot
from weir_host.host import PluginHost
from weir_sdk.testing import RecordingLogger

tempfile.tempdir = sys.argv[1]

async def main():
    host = PluginHost(
        runtime="gateway", hook_types=frozenset({"post_auth"}), gateway_reads=lambda: Snapshot(1),
        plugin_modules=None, edge_id="", edge_namespace="", logger=RecordingLogger(), clock=SystemClock(),
    )
    plugins = [
        Plugin(id=number, name="child", slug="child", command=command, hook_types=("post_auth",))
        for number, command in enumerate(sys.argv[2:])
    ]
    await host.apply(Snapshot(1, plugins), 30)
    print([state.reason or state.state for state in host.states().values()], flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""

HABITS = {
    "silent": "",
    "deaf": "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.signal(signal.SIGINT, 1)",
    "with_descendants": "import subprocess; subprocess.Popen(['sh', '-c', 'sleep 600 & sleep 600'])",
    "stopped": "import os, threading; threading.Timer(1, lambda: os.kill(os.getpid(), 19)).start()",
}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_host_that_is_killed_takes_its_plugins_with_it(
    program: ProgramOf, own_temp_dir: Path, number: signal.Signals
) -> None:
    commands = [program(f"{habit}\n{WIRE_PLUGIN}", f"{name}.py") for name, habit in HABITS.items()]
    host = subprocess.Popen(
        [sys.executable, "-c", HOST, str(own_temp_dir), *commands], stdout=subprocess.PIPE, text=True
    )
    assert host.stdout is not None
    assert await asyncio.to_thread(host.stdout.readline) == "['ready', 'ready', 'ready', 'ready']\n"
    groups = children(host.pid)
    assert len(groups) == len(commands) + 1
    host.send_signal(number)
    host.communicate()
    await until(lambda: not any(is_there(pid) for group in groups for pid in group_of(group)))
    await until(lambda: sockets_left(own_temp_dir) == [])
