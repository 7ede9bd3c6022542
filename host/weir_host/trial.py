"""One trial of a ``python://`` plugin: does it start, and does its configuration fit?"""

from __future__ import annotations

from typing import Any, NoReturn

import msgspec

from weir_core.objects import Plugin
from weir_core.snapshot import Snapshot
from weir_host.commands import parse_command
from weir_host.errors import PluginError
from weir_host.in_process import InProcessPlugin
from weir_host.limits import HostLimits
from weir_host.loading import handlers_of, load_plugin, served_hooks
from weir_host.schema import SchemaErrors, config_errors, config_schema_of
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


async def try_out(plugin: Plugin, plugin_modules: tuple[str, ...] | None) -> ProbeResult:
    """Import, construct, check the configuration, initialise and shut down.

    Runs the plugin's code here and now, for as long as it likes. The gateway that the plugin sees in
    ``initialize`` has no apps, LLMs or prices.
    """
    schema: dict[str, Any] | None = None
    hooks: frozenset[str] = frozenset()
    errors: SchemaErrors = []
    try:
        loaded = load_plugin(parse_command(plugin.command), plugin_modules)
        hooks = served_hooks(handlers_of(loaded))
        schema = config_schema_of(loaded)
        errors = [] if schema is None else config_errors(plugin.config, schema)
        reason = "its config does not fit its schema" if errors else ""
        if not errors:
            await _start_and_stop(plugin, hooks, plugin_modules)
    except PluginError as error:
        reason = str(error)
    return ProbeResult(ok=not reason, reason=reason, config_schema=schema, hooks=hooks, schema_errors=errors)


async def _start_and_stop(
    plugin: Plugin, hooks: frozenset[str], plugin_modules: tuple[str, ...] | None
) -> None:
    services = Services(_Silence(), SnapshotGateway(plugin, lambda: Snapshot(0), _no_prices))
    running = InProcessPlugin(
        plugin,
        hook_types=hooks,
        plugin_modules=plugin_modules,
        surroundings=Surroundings(runtime=plugin.runtime, services=services),
        limits=HostLimits(),
    )
    await running.start()
    await running.stop()


async def _no_prices(_: Snapshot) -> NoReturn:
    raise NotFoundError("there are no prices while a plugin is tried out")


class _Silence:
    """Nobody reads what a plugin logs while it is tried out."""

    def debug(self, message: str, /, **values: Any) -> None: ...
    def info(self, message: str, /, **values: Any) -> None: ...
    def warning(self, message: str, /, **values: Any) -> None: ...
    def error(self, message: str, /, **values: Any) -> None: ...
