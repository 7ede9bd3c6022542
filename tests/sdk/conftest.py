"""What the SDK's tests share: a plugin's script as a real process, driven over plain gRPC as a Go host would."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.empty_pb2 import Empty
from grpc import aio

from weir_proto import (
    config_provider_pb2_grpc,
    go_plugin_pb2,
    go_plugin_pb2_grpc,
    plugin_pb2,
    plugin_pb2_grpc,
    weir_plugin_pb2_grpc,
)

SCRIPTS = Path(__file__).parent / "served"
HOST_ENVIRONMENT = {
    "AI_STUDIO_PLUGIN": "v1",
    "PLUGIN_PROTOCOL_VERSIONS": "1",
    "PLUGIN_RUNTIME": "gateway",
    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
}


def environment(**changes: str) -> dict[str, str]:
    """What a plugin's process gets, without what makes Python's standard output unbuffered."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return {**inherited, **HOST_ENVIRONMENT, **changes}


class ServedProcess:
    """A plugin process and stubs for everything that it serves."""

    def __init__(self, process: asyncio.subprocess.Process, line: str) -> None:
        self.process = process
        self.line = line
        self.socket = Path(line.split("|")[3])
        self.channel = aio.insecure_channel(
            f"unix:{self.socket}",
            options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)],
        )
        self.plugin: Any = plugin_pb2_grpc.PluginServiceStub(self.channel)
        self.config_provider: Any = config_provider_pb2_grpc.ConfigProviderServiceStub(self.channel)
        self.extras: Any = weir_plugin_pb2_grpc.PluginExtrasStub(self.channel)
        self.broker: Any = go_plugin_pb2_grpc.GRPCBrokerStub(self.channel)
        self.controller: Any = go_plugin_pb2_grpc.GRPCControllerStub(self.channel)
        self.stdio: Any = go_plugin_pb2_grpc.GRPCStdioStub(self.channel)

    async def initialize(self, **config: str) -> None:
        """Initialise it as a Go host does."""
        answer = await self.plugin.Initialize(plugin_pb2.InitRequest(config=config))
        assert answer.success, answer.error_message

    async def printed(self, until: str) -> str:
        """What it has printed, up to and with a text."""
        text = ""
        stream = self.stdio.StreamStdio(Empty())
        async for piece in stream:
            assert piece.channel == go_plugin_pb2.StdioData.STDOUT
            text += piece.data.decode()
            if until in text:
                stream.cancel()
                break
        return text

    async def logged(self, until: str) -> str:
        """Lines of its standard error, up to and with one that holds a text."""
        text = ""
        assert self.process.stderr is not None
        while until not in text:
            line = await self.process.stderr.readline()
            assert line, f"standard error ended without {until!r}: {text}"
            text += line.decode()
        return text

    async def stop(self) -> None:
        """Ask it to end; returns when it has."""
        with suppress(aio.AioRpcError):
            await self.controller.Shutdown(go_plugin_pb2.Empty())
        await self.process.wait()


Serve = Callable[..., Awaitable[ServedProcess]]


@pytest.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Serve]:
    """Starts a script of ``served/`` and waits for its handshake; nothing of it outlives the test."""
    started: list[ServedProcess] = []

    async def start(script: str, **changes: str) -> ServedProcess:
        process = await asyncio.create_subprocess_exec(
            str(SCRIPTS / script),
            env=environment(**{"TMPDIR": str(tmp_path), **changes}),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=2**22,
        )
        assert process.stdout is not None
        line = (await process.stdout.readline()).decode()
        if not line:
            assert process.stderr is not None
            pytest.fail((await process.stderr.read()).decode())
        served = ServedProcess(process, line)
        started.append(served)
        return served

    yield start
    for served in started:
        await served.channel.close()
        with suppress(ProcessLookupError):
            served.process.kill()
        await served.process.communicate()  # to the end of its pipes, without which asyncio keeps them open
