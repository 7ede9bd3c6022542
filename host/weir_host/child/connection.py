"""A plugin's process with all that ties us to it: pipes, channel, broker, service channel."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NoReturn

import grpc
from grpc import aio

from weir_host.child.broker import Broker
from weir_host.child.environment import plugin_environment
from weir_host.child.executable import Executable
from weir_host.child.handshake import is_handshake, parse_handshake
from weir_host.child.keeper import Keeper
from weir_host.child.log_lines import OutputLog
from weir_host.child.output import PipeReader
from weir_host.child.process import ChildProcess
from weir_host.child.service_channel import ServiceChannel
from weir_host.child.socket_dir import remove_socket_dir
from weir_host.child.stdio import read_stdio
from weir_host.child.stubs import controller
from weir_host.errors import PluginStartError
from weir_proto.go_plugin_pb2 import ConnInfo, Empty
from weir_sdk.services import Runtime

SERVICE_ID: Final = 1
"""The one id that the broker offers."""

_CHANNEL: Final = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # A later process may not inherit the connection of an earlier one.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
)
_LAST_WORDS_S: Final = 1.0


class Connection:
    """Open from the start of a process to its end.

    Attributes:
        process: The process.
        broker_id: What to tell the plugin of the gateway's services; 0 when it cannot reach them.
    """

    def __init__(self, log: OutputLog, socket_dir: Path, process: ChildProcess) -> None:
        self.process = process
        self.broker_id = 0
        self._channel: aio.Channel | None = None
        self._log = log
        self._socket_dir = socket_dir
        self._readers: list[PipeReader] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._broker: Broker | None = None
        self._services: ServiceChannel | None = None

    @classmethod
    async def open(
        cls,
        program: Executable,
        *,
        runtime: Runtime,
        services: Sequence[grpc.GenericRpcHandler],
        log: OutputLog,
        keeper: Keeper,
    ) -> Connection:
        """Start a program and connect to it; returns when it has said where it listens.

        Raises:
            PluginStartError: It did not; nothing of it is left behind.
        """
        try:
            socket_dir = keeper.make_directory()
        except OSError as error:
            raise PluginStartError(f"its sockets have no place: {error}") from error
        try:
            environment = plugin_environment(os.environ, runtime=runtime, socket_dir=socket_dir)
            process = ChildProcess.start(program, environment, keeper)
        except BaseException:
            remove_socket_dir(socket_dir)
            raise
        connection = cls(log, socket_dir, process)
        try:
            target = await connection._shake_hands()
            connection._channel = aio.insecure_channel(target, options=_CHANNEL)
            connection._run(read_stdio(connection.channel, log.line))
            await connection._offer_services(services)
        except BaseException:
            await connection.kill()
            raise
        return connection

    @property
    def channel(self) -> aio.Channel:
        """The gRPC channel to it."""
        assert self._channel is not None
        return self._channel

    async def explain(self, otherwise: str) -> str:
        """Why a call failed: how the process ended if it is about to, and its last words; else as given."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS_S):
                await self.process.wait()
                for reader in self._readers:
                    await reader.ended.wait()
        if not self.process.has_ended:
            return otherwise
        return f"its process {self.process.ending}" + self._last_words()

    async def close(self, exit_s: float) -> None:
        """Ask the process to end, see to it that it does, and clear up after it.

        Args:
            exit_s: Seconds it may take to end by itself.
        """
        if self._broker is not None:
            self._broker.end()
        if not self.process.has_ended:
            with suppress(aio.AioRpcError, TimeoutError):
                async with asyncio.timeout(exit_s):
                    await self._ask_to_end()
                    await self.process.wait()
        await self.kill()

    async def kill(self) -> None:
        """End the process now, with all that it has started, and clear up after it."""
        self.process.kill()
        await self.process.wait()
        for task in self._tasks:
            task.cancel()
        if self._channel is not None:
            await self._channel.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for reader in self._readers:
            reader.close()
        remove_socket_dir(self._socket_dir)
        if self._services is not None:
            await self._services.stop()

    async def _shake_hands(self) -> str:
        first: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        def take(line: str) -> None:
            if first.done() or not is_handshake(line):
                self._log.line(line)
            else:
                first.set_result(line)

        self._readers.append(await PipeReader.read(self.process.stderr, self._log.line))
        stdout = await PipeReader.read(self.process.stdout, take)
        self._readers.append(stdout)
        ended = asyncio.ensure_future(stdout.ended.wait())
        try:
            await asyncio.wait((first, ended), return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended.cancel()
        if not first.done():
            await self._no_handshake()
        return parse_handshake(first.result())

    async def _no_handshake(self) -> NoReturn:
        said = await self.explain("it closed its standard output")
        raise PluginStartError(
            f"{said}, before it said where it listens; a plugin's script ends with weir_sdk.serve(...)"
        )

    def _last_words(self) -> str:
        return f" ({self._log.last_line})" if self._log.last_line else ""

    async def _offer_services(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        self._services = services = ServiceChannel(self._socket_dir / "services", handlers)
        await services.start()
        offer = ConnInfo(service_id=SERVICE_ID, network="unix", address=str(services.path))
        self._broker = Broker(self.channel)
        if await self._broker.offer(offer):
            self.broker_id = SERVICE_ID
            self._run(self._broker.keep_offering(offer, services.reached))

    async def _ask_to_end(self) -> None:
        # The answer is often cut off by the very end that was asked for.
        with suppress(aio.AioRpcError):
            await controller(self.channel).Shutdown(Empty())

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.create_task(work))
