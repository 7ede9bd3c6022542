"""``file://`` plugins: one start of one plugin in a process of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import grpc
from grpc import aio

from weir_core.clock import Clock
from weir_core.objects import Plugin
from weir_host.child.calls import WireCalls
from weir_host.child.connection import Connection
from weir_host.child.description import Description, describe
from weir_host.child.executable import open_executable
from weir_host.child.health import wait_until_silent
from weir_host.child.keeper import Keeper
from weir_host.child.log_lines import OutputLog
from weir_host.child.management import service_handlers
from weir_host.child.memory import wait_until_too_large
from weir_host.child.sessions import close_session, hold_sessions
from weir_host.child.stubs import plugin_service
from weir_host.commands import FileCommand
from weir_host.errors import PluginNotReadyError, PluginStartError
from weir_host.limits import HostLimits
from weir_host.services import SnapshotGateway
from weir_proto.plugin_pb2 import (
    GetConfigSchemaRequest,
    GetConfigSchemaResponse,
    InitRequest,
    ShutdownRequest,
)
from weir_sdk.context import Surroundings
from weir_sdk.wire.config import Beginning, beginning_to_wire
from weir_sdk.wire.context import Peer


class ChildPlugin:
    """A plugin process from its start to its end; a ``RunningPlugin``.

    ``connect`` and ``initialize`` are the two halves of ``start``.
    """

    def __init__(
        self,
        plugin: Plugin,
        command: FileCommand,
        *,
        hook_types: frozenset[str],
        plugin_dirs: tuple[str, ...] | None,
        surroundings: Surroundings,
        gateway: SnapshotGateway | None,
        limits: HostLimits,
        keeper: Keeper,
        clock: Clock,
    ) -> None:
        self._plugin = plugin
        self._command = command
        self._hook_types = sorted(hook_types.intersection(plugin.hook_types))
        self._plugin_dirs = plugin_dirs
        self._surroundings = surroundings
        self._gateway = gateway
        self._limits = limits
        self._keeper = keeper
        self._clock = clock
        self._log = OutputLog(surroundings.services.logger, clock.monotonic)
        self._connection: Connection | None = None
        self._description: Description | None = None
        self._calls: WireCalls | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._gone: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._complaint = ""

    async def start(self) -> None:
        """Start the process, shake hands, initialise the plugin, and watch over it from then on."""
        await self.connect()
        await self.initialize()

    async def connect(self) -> Description:
        """Start the process and ask it what it is.

        Raises:
            PluginStartError: It cannot be started, or does not answer; nothing of it is left behind.
        """
        program = await asyncio.to_thread(
            open_executable,
            self._command,
            plugin_dirs=self._plugin_dirs,
            checksum=self._plugin.checksum,
        )
        with program.file:
            self._connection = connection = await Connection.open(
                program,
                runtime=self._surroundings.runtime,
                services=service_handlers(self._gateway),
                log=self._log,
                keeper=self._keeper,
            )
        self._description = await self._or_kill(
            "it cannot be asked what it is", describe(connection.channel, self._plugin.hook_types)
        )
        return self._description

    async def config_schema(self) -> str:
        """The JSON Schema of its configuration as text, empty when it has none; for one that is connected.

        Raises:
            PluginStartError: It fails to say; it is gone then.
        """
        answer = await self._or_kill("get_config_schema failed", self._ask_schema())
        if not answer.success and answer.error_message:
            await self._kill()
            raise PluginStartError(f"get_config_schema failed: {answer.error_message}")
        text: str = answer.schema_json
        return "" if text.strip() == "{}" else text

    async def initialize(self) -> None:
        """Initialise the plugin that is connected.

        Raises:
            PluginStartError: It cannot serve; nothing of it is left behind.
        """
        connection, description = self._connection, self._description
        assert connection is not None
        assert description is not None
        try:
            serves = description.served(self._hook_types)
        except PluginStartError:
            await self._kill()
            raise
        message = InitRequest(config=beginning_to_wire(self._beginning(connection)))
        answer = await self._or_kill("initialize failed", self._service().Initialize(message))
        if not answer.success:
            await self._kill()
            raise PluginStartError(f"initialize failed: {answer.error_message or 'it does not say why'}")
        peer = Peer(
            ours=description.is_ours,
            edge_id=self._surroundings.edge_id,
            edge_namespace=self._surroundings.edge_namespace,
        )
        threads = {name: count for name, count in description.handlers.items() if count}
        self._calls = WireCalls(self._plugin.name, connection.channel, peer, serves, threads)
        self._run(self._watch_process(connection))
        self._run(self._watch_health(connection))
        if self._limits.memory_bytes:
            self._run(self._watch_memory(connection))
        self._run(hold_sessions(self._service(), self._plugin.id, connection.broker_id))

    async def stop(self) -> None:
        """Wait for calls in flight, then shut the plugin down and end its process."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._connection is None:
            return
        if self._calls is not None and not self._gone.done():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._limits.drain_s):
                    await self._calls.exchange.idle()
            await self._shut_down()
        await self._connection.close(self._limits.exit_s)
        if self._calls is not None:
            self._calls.exchange.lose("it is stopped")

    async def wait_gone(self) -> str:
        """Wait until the process has ended by itself, or by our hand for its silence or size; return why."""
        return await asyncio.shield(self._gone)

    @property
    def calls(self) -> WireCalls:
        """What it serves, once it has started."""
        if self._calls is None:
            raise PluginNotReadyError(f"plugin {self._plugin.name!r} has not started")
        return self._calls

    @property
    def abandoned(self) -> int:
        """Calls that nobody waits for any more and that may still be at work."""
        return 0 if self._calls is None else self._calls.exchange.abandoned

    @property
    def complaint(self) -> str:
        """What is wrong with it although it serves; empty when nothing is."""
        return self._complaint

    async def _shut_down(self) -> None:
        service = self._service()
        await close_session(service)
        try:
            seconds = self._limits.stop_s
            await service.Shutdown(ShutdownRequest(timeout_seconds=int(seconds)), timeout=seconds)
        except aio.AioRpcError as error:
            said = error.details() or error.code().name
            self._surroundings.services.logger.warning("plugin failed in shutdown", error=said)

    async def _watch_process(self, connection: Connection) -> None:
        await connection.process.wait()
        self.calls.exchange.lose(f"its process {connection.process.ending}")
        self._note_gone(await connection.explain("its process ended"))

    async def _watch_health(self, connection: Connection) -> None:
        exchange = self.calls.exchange
        reason = await wait_until_silent(
            self._service().Ping,
            self._limits,
            self._clock,
            complain=self._complain,
            asking=exchange.asking,
        )
        self._end(connection, reason)

    async def _watch_memory(self, connection: Connection) -> None:
        limits = self._limits
        reason = await wait_until_too_large(
            connection.process.pid, most_bytes=limits.memory_bytes, every_s=limits.memory_every_s
        )
        self._end(connection, reason)

    def _end(self, connection: Connection, reason: str) -> None:
        self.calls.exchange.lose(reason)
        self._note_gone(reason)
        connection.process.kill()

    async def _ask_schema(self) -> GetConfigSchemaResponse:
        try:
            answer: GetConfigSchemaResponse = await self._service().GetConfigSchema(GetConfigSchemaRequest())
        except aio.AioRpcError as error:
            if error.code() == grpc.StatusCode.UNIMPLEMENTED:  # older plugins do not know this call
                return GetConfigSchemaResponse(success=True)
            raise
        return answer

    def _note_gone(self, reason: str) -> None:
        if not self._gone.done():
            self._gone.set_result(reason)

    def _complain(self, complaint: str) -> None:
        self._complaint = complaint

    def _beginning(self, connection: Connection) -> Beginning:
        return Beginning(
            config=self._plugin.config,
            plugin_id=self._plugin.id,
            broker_id=connection.broker_id,
            edge_id=self._surroundings.edge_id,
            edge_namespace=self._surroundings.edge_namespace,
        )

    def _service(self) -> Any:
        assert self._connection is not None
        return plugin_service(self._connection.channel)

    async def _or_kill(self, what: str, asked: Any) -> Any:
        """Await an answer; without one the process is ended."""
        assert self._connection is not None
        try:
            return await asked
        except aio.AioRpcError as error:
            said = error.details() or error.code().name
            if error.code() == grpc.StatusCode.UNAVAILABLE:
                said = await self._connection.explain(said)
            await self._kill()
            raise PluginStartError(f"{what}: {said}") from error
        except BaseException:
            await self._kill()
            raise

    async def _kill(self) -> None:
        assert self._connection is not None
        await self._connection.kill()
        self._connection = None

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.create_task(work))
