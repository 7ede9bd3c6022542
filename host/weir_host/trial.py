"""One trial of a plugin: does it start, and does its configuration fit?"""

from __future__ import annotations

from typing import Any, NoReturn

import msgspec

from weir_core.clock import SystemClock
from weir_core.objects import Plugin
from weir_core.snapshot import Snapshot
from weir_host.child.keeper import Keeper
from weir_host.child.plugin import ChildPlugin
from weir_host.commands import FileCommand, PythonCommand, parse_command
from weir_host.errors import InvalidCommandError, PluginError
from weir_host.in_process import InProcessPlugin
from weir_host.limits import HostLimits
from weir_host.loading import handlers_of, load_plugin, served_hooks
from weir_host.schema import SchemaErrors, config_errors, config_schema_of, read_schema
from weir_host.services import SnapshotGateway
from weir_sdk import NotFoundError, Services
from weir_sdk.context import Surroundings


class ProbeResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the trial.

    Attributes:
        ok: The plugin starts with this configuration.
        reason: Why not.
        config_schema: What the plugin says of its configuration, if anything.
        hooks: The hook types that it has handlers for, and these handlers. Whether they are those that the
            admin declared is the caller's to judge.
        schema_errors: What its schema says of the configuration: dotted path, message.
    """

    ok: bool
    reason: str = ""
    config_schema: dict[str, Any] | None = None
    hooks: frozenset[str] = frozenset()
    schema_errors: SchemaErrors = []


async def try_out(
    plugin: Plugin, plugin_modules: tuple[str, ...] | None, plugin_dirs: tuple[str, ...] | None = None
) -> ProbeResult:
    """Load, check the configuration, initialise and shut down.

    Runs a ``python://`` plugin's code here and now, for as long as it likes. The gateway that the plugin sees
    in ``initialize`` has no apps, LLMs or prices.
    """
    trial = _Trial(plugin)
    try:
        command = parse_command(plugin.command)
        if isinstance(command, FileCommand):
            await trial.of_program(command, plugin_dirs)
        else:
            await trial.of_class(command, plugin_modules)
    except (PluginError, InvalidCommandError) as error:
        trial.reason = str(error)
    return ProbeResult(
        ok=not trial.reason,
        reason=trial.reason,
        config_schema=trial.schema,
        hooks=trial.hooks,
        schema_errors=trial.errors,
    )


class _Trial:
    """What is known so far, also when a later step fails."""

    def __init__(self, plugin: Plugin) -> None:
        self.schema: dict[str, Any] | None = None
        self.hooks: frozenset[str] = frozenset()
        self.errors: SchemaErrors = []
        self.reason = ""
        self._plugin = plugin
        self._gateway = SnapshotGateway(plugin, lambda: Snapshot(0), _no_prices, _Nowhere())
        reads = self._gateway if plugin.runtime == "gateway" else None
        self._surroundings = Surroundings(runtime=plugin.runtime, services=Services(_Silence(), reads))

    async def of_class(self, command: PythonCommand, plugin_modules: tuple[str, ...] | None) -> None:
        """Try out a class, in this process."""
        loaded = load_plugin(command, plugin_modules)
        self.hooks = served_hooks(handlers_of(loaded))
        if not self._fits(config_schema_of(loaded)):
            return
        running = InProcessPlugin(
            self._plugin,
            command,
            hook_types=self.hooks,
            plugin_modules=plugin_modules,
            surroundings=self._surroundings,
            limits=HostLimits(),
        )
        await running.start()
        await running.stop()

    async def of_program(self, command: FileCommand, plugin_dirs: tuple[str, ...] | None) -> None:
        """Try out a program, in a process of its own."""
        keeper = Keeper()
        running = ChildPlugin(
            self._plugin,
            command,
            hook_types=frozenset(),
            plugin_dirs=plugin_dirs,
            surroundings=self._surroundings,
            gateway=self._gateway,
            limits=HostLimits(),
            keeper=keeper,
            clock=SystemClock(),
        )
        try:
            description = await running.connect()
            self.hooks = served_hooks(description.handlers)
            schema = await running.config_schema()
            if self._fits(read_schema(schema) if schema else None):
                await running.initialize()
        finally:
            await running.stop()
            keeper.close()

    def _fits(self, schema: dict[str, Any] | None) -> bool:
        self.schema = schema
        self.errors = [] if schema is None else config_errors(self._plugin.config, schema)
        self.reason = "its config does not fit its schema" if self.errors else ""
        return not self.errors


async def _no_prices(_: Snapshot) -> NoReturn:
    raise NotFoundError("there are no prices while a plugin is tried out")


class _Nowhere:
    """Takes what a plugin sends to control while it is tried out, and forgets it."""

    async def send(self, *_: object) -> int:
        return 0


class _Silence:
    """Nobody reads what a plugin logs while it is tried out."""

    def debug(self, message: str, /, **values: Any) -> None: ...
    def info(self, message: str, /, **values: Any) -> None: ...
    def warning(self, message: str, /, **values: Any) -> None: ...
    def error(self, message: str, /, **values: Any) -> None: ...
