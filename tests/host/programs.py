"""Programs for ``file://`` in the manner of Go plugins, and what tests ask of them and of what they leave."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from weir_core.objects import Plugin
from weir_host.calls import CallInfo
from weir_host.host import PluginHost
from weir_sdk.testing import make_request

LONG = 30.0
"""Seconds that a process may take to start on a machine that has much to do."""

_AT_THE_LATEST_S = 60.0

WIRE_PLUGIN = '''
"""What a Go plugin does, in few words: it knows nothing of our SDK, and serves no more than it must."""
import os, signal, subprocess, sys, tempfile, threading, time
from concurrent import futures
import grpc
from weir_proto import go_plugin_pb2, go_plugin_pb2_grpc, plugin_pb2 as pb, plugin_pb2_grpc

if os.environ.get("AI_STUDIO_PLUGIN") != "v1":
    sys.exit("this is a plugin; a gateway starts it")

STOPPED = threading.Event()


class Plugin(plugin_pb2_grpc.PluginServiceServicer):
    def Initialize(self, request, context):
        self.config = dict(request.config)
        if "initialize" in self.config:
            exec(self.config["initialize"])
        return pb.InitResponse(success="refuse" not in self.config, error_message=self.config.get("refuse", ""))

    def Ping(self, request, context):
        return pb.PingResponse(timestamp=request.timestamp, healthy=self.config.get("healthy") != "false")

    def Shutdown(self, request, context):
        if "shutdown" in self.config:
            exec(self.config["shutdown"])
        return pb.ShutdownResponse(success=True)

    def ProcessPostAuth(self, request, context):
        """Does what the body says, and tells what came of it in a header."""
        scope = {"request": request, "context": context, "answer": str(os.getpid()), "config": self.config}
        exec(request.request.body, globals(), scope)
        return pb.PluginResponse(modified=True, headers={"X-Answer": scope["answer"]})

    def HandleProxyLog(self, request, context):
        return pb.DataCollectionResponse(success=True, handled=True)


class Controller(go_plugin_pb2_grpc.GRPCControllerServicer):
    def Shutdown(self, request, context):
        STOPPED.set()
        return go_plugin_pb2.Empty()


server = grpc.server(futures.ThreadPoolExecutor(8))
plugin_pb2_grpc.add_PluginServiceServicer_to_server(Plugin(), server)
go_plugin_pb2_grpc.add_GRPCControllerServicer_to_server(Controller(), server)
path = tempfile.mktemp(prefix="plugin", dir=os.environ["PLUGIN_UNIX_SOCKET_DIR"])
server.add_insecure_port("unix:" + path)
server.start()
print("1|1|unix|" + path + "|grpc|", flush=True)
STOPPED.wait()
server.stop(None)
'''


def write_program(directory: Path, source: str, name: str = "plugin.py") -> str:
    """Write a Python program and return its command; without ``.py`` it gets a first line and may be executed."""
    path = directory / name
    if path.suffix != ".py":
        source = f"#!{sys.executable}\n{source}"
    path.write_text(source)
    path.chmod(0o755 if path.suffix != ".py" else 0o644)
    return f"file://{path}"


def a_plugin(command: str, **changes: Any) -> Plugin:
    fields: dict[str, Any] = {
        "id": 1,
        "name": "child",
        "slug": "child",
        "command": command,
        "hook_types": ("post_auth",),
    }
    return Plugin(**{**fields, **changes})


async def answer_of(host: PluginHost, code: str, call: CallInfo) -> str:
    """Have the plugin run some code, and return what it put into ``answer``."""
    plugin = host.get(1)
    assert plugin is not None
    outcome = await plugin.post_auth(call, make_request(body=code.encode()))
    assert outcome.request is not None
    return outcome.request.headers["X-Answer"]


def sockets_left(directory: Path) -> list[str]:
    return [entry.name for entry in directory.iterdir() if entry.name.startswith("weir-plugin-")]


_bystanders: set[int] = set()


def pass_over_other_children() -> None:
    """From here on ``children`` counts what is started from here on: other tests' servers are not ours."""
    _bystanders.clear()
    _bystanders.update(_children(os.getpid()))


def children(parent: int | None = None) -> set[int]:
    """The processes that one has started (this one by default) and that are still there."""
    return _children(os.getpid() if parent is None else parent) - _bystanders


def _children(parent: int) -> set[int]:
    found: set[int] = set()
    for task in Path(f"/proc/{parent}/task").iterdir():
        # A thread may end while we look; its children are another thread's from then on.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found.update(map(int, (task / "children").read_text().split()))
    return found


def keepers() -> set[int]:
    """Those of them that only wait for our end."""
    return {pid for pid in children() if b"keep.py" in Path(f"/proc/{pid}/cmdline").read_bytes()}


def group_of(group: int) -> list[int]:
    """The processes of a process group."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[2]) == group:
                found.append(int(entry.name))
    return found


def is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def until(condition: Callable[[], bool]) -> None:
    # uvloop does not let the test runner's own timeout interrupt a test.
    async with asyncio.timeout(_AT_THE_LATEST_S):
        while not condition():
            await asyncio.sleep(0.005)
