"""``PluginHost``: all plugins of one process, kept as a snapshot of the configuration wants them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

import msgspec

from weir_core.clock import Clock
from weir_core.objects import Plugin
from weir_core.snapshot import Snapshot
from weir_host.child.keeper import Keeper
from weir_host.child.plugin import ChildPlugin
from weir_host.commands import FileCommand, parse_command
from weir_host.errors import InvalidCommandError, PluginStartError
from weir_host.hosted import HostedPlugin, Sleep
from weir_host.in_process import InProcessPlugin
from weir_host.instance import Instance, PluginState, RunningPlugin, State
from weir_host.limits import HostLimits
from weir_host.payloads import PayloadQueue
from weir_host.prices import PricesInForce
from weir_host.services import GatewayReads, PluginLogger, SnapshotGateway
from weir_host.tenure import Tenure
from weir_host.wanted import InstanceKey, instance_key, wanted_instances
from weir_sdk import Logger, Services
from weir_sdk.context import Surroundings
from weir_sdk.services import Runtime

_DEFAULT_LIMITS: Final = HostLimits()
_WORST_FIRST: Final[tuple[State, ...]] = ("failed", "starting", "degraded", "stopped", "ready")


class PluginHost:
    """Starts, changes and stops plugins; one plugin's failure never touches another.

    Belongs to the event loop it is made in.

    Args:
        runtime: Only plugins of this runtime are hosted; ``studio`` also hosts a gateway's plugins that have
            the hook type, so that one plugin can have a part in either.
        hook_types: Only plugins with one of these hook types are hosted, and only for these.
        gateway_reads: Where plugins' reads of the configuration come from.
        plugin_modules: The modules (with all below them) that ``python://`` may load; None allows any.
        plugin_dirs: The directories that ``file://`` may start programs from; None allows any.
        payloads: Takes what plugins send to control; without it they cannot.
        edge_id: What plugins see as ``ctx.edge_id``.
        edge_namespace: What they see as ``ctx.edge_namespace``.
        logger: Plugins' log lines go here, and what happens to plugins.
        clock: Dates changes of state.
        limits: Deadlines and pauses.
        sleep: Waits for as many seconds as it is given; for pauses, not for deadlines.
    """

    def __init__(
        self,
        *,
        runtime: Runtime,
        hook_types: frozenset[str],
        gateway_reads: GatewayReads,
        plugin_modules: Sequence[str] | None,
        edge_id: str,
        edge_namespace: str,
        logger: Logger,
        clock: Clock,
        plugin_dirs: Sequence[str] | None = None,
        payloads: PayloadQueue | None = None,
        limits: HostLimits = _DEFAULT_LIMITS,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._runtime = runtime
        self._hook_types = hook_types
        self._gateway_reads = gateway_reads
        self._plugin_modules = None if plugin_modules is None else tuple(plugin_modules)
        self._plugin_dirs = None if plugin_dirs is None else tuple(plugin_dirs)
        self._payloads = payloads
        self._edge_id = edge_id
        self._edge_namespace = edge_namespace
        self._logger = logger
        self._clock = clock
        self._prices = PricesInForce(clock).of
        self._limits = limits
        self._sleep = sleep
        self._keeper = Keeper()
        self._wanted: dict[InstanceKey, HostedPlugin] = {}
        self._leaving: dict[InstanceKey, HostedPlugin] = {}
        self._lives: dict[HostedPlugin, asyncio.Task[None]] = {}

    async def apply(self, snapshot: Snapshot, ready_within: float = 0.5) -> None:
        """Follow a snapshot: start what is new, change what is different, let go of what is gone.

        What is to serve differently serves as before until its new form is ready. The newest snapshot counts,
        also while an earlier call still waits.

        Args:
            snapshot: What is wanted.
            ready_within: Seconds to wait for what has to start; whatever takes longer goes on starting.
        """
        wanted = wanted_instances(
            snapshot,
            filter(self._hosts, snapshot.plugins.values()),
            by_attachment=self._hook_types.isdisjoint(("data_collection", "studio")),
        )
        for key in self._wanted.keys() - wanted.keys():
            gone = self._leaving[key] = self._wanted.pop(key)
            gone.want(None)
        for key, plugin in wanted.items():
            self._hosted(key, plugin).want(plugin)
        try:
            async with asyncio.timeout(ready_within):
                for hosted in tuple(self._wanted.values()):
                    await hosted.settled()
        except TimeoutError:
            return

    def get(self, plugin_id: int, override: Mapping[str, Any] | None = None) -> Instance | None:
        """The plugin, whatever its state; None when this process does not host it.

        A plugin that has left the configuration can still be had for a while, for requests that began before.

        Args:
            plugin_id: Its id.
            override: The ``config_override`` of the attachment that calls.
        """
        key = instance_key(plugin_id, override)
        return self._wanted.get(key) or self._leaving.get(key)

    def hold(
        self,
        plugin_id: int,
        override: Mapping[str, Any] | None = None,
        stand_ins: Sequence[Mapping[str, Any]] = (),
    ) -> Tenure | None:
        """What serves the plugin now, for a call to keep and to release; None while nothing does.

        Args:
            plugin_id: Its id.
            override: The ``config_override`` of the attachment that calls.
            stand_ins: What the attachment had before, newest first, for as long as it has never been ready
                with ``override``.
        """
        for wanted in (override, *stand_ins):
            key = instance_key(plugin_id, wanted)
            hosted = self._wanted.get(key) or self._leaving.get(key)
            if hosted is not None and hosted.has_served:
                return hosted.hold()
        return None

    def states(self) -> dict[int, PluginState]:
        """What each wanted plugin is doing, by its id; of several instances of one, what the worst is."""
        states: dict[int, PluginState] = {}
        for (plugin_id, _), hosted in self._wanted.items():
            state = hosted.status
            known = states.get(plugin_id)
            states[plugin_id] = state if known is None else _together(known, state)
        return states

    def report(self) -> dict[str, dict[str, Any]]:
        """``states`` as a worker tells them to control: plain JSON values, by plugin id."""
        return {
            str(plugin_id): {"state": state.state, "reason": state.reason, "restarts": state.restarts}
            for plugin_id, state in self.states().items()
        }

    async def close(self) -> None:
        """Let calls in flight end, shut all plugins down, and wait for that; within the limits."""
        self._leaving.update(self._wanted)
        self._wanted.clear()
        for hosted in self._lives:
            hosted.finish()
        await asyncio.gather(*self._lives.values())
        self._keeper.close()

    def _hosts(self, plugin: Plugin) -> bool:
        return (
            plugin.is_active
            and self._runtime in (plugin.runtime, "studio")
            and not self._hook_types.isdisjoint(plugin.hook_types)
        )

    def _hosted(self, key: InstanceKey, plugin: Plugin) -> HostedPlugin:
        hosted = self._wanted.get(key) or self._leaving.pop(key, None)
        if hosted is None or hosted.over:
            hosted = HostedPlugin(
                plugin,
                self._launch,
                limits=self._limits,
                clock=self._clock,
                sleep=self._sleep,
                logger=self._logger,
            )
            life = self._lives[hosted] = asyncio.create_task(hosted.live())
            life.add_done_callback(partial(self._forget, key, hosted))
        self._wanted[key] = hosted
        return hosted

    def _forget(self, key: InstanceKey, hosted: HostedPlugin, _: asyncio.Task[None]) -> None:
        del self._lives[hosted]
        if self._leaving.get(key) is hosted:
            del self._leaving[key]

    def _launch(self, plugin: Plugin) -> RunningPlugin:
        try:
            command = parse_command(plugin.command)
        except InvalidCommandError as error:
            raise PluginStartError(str(error)) from error
        gateway = SnapshotGateway(plugin, self._gateway_reads, self._prices, self._payloads)
        reads = gateway if self._runtime == "gateway" else None
        surroundings = Surroundings(
            runtime=self._runtime,
            services=Services(PluginLogger(self._logger, plugin.name, plugin.secrets), reads),
            edge_id=self._edge_id,
            edge_namespace=self._edge_namespace,
        )
        if isinstance(command, FileCommand):
            return ChildPlugin(
                plugin,
                command,
                hook_types=self._hook_types,
                plugin_dirs=self._plugin_dirs,
                surroundings=surroundings,
                gateway=reads,
                limits=self._limits,
                keeper=self._keeper,
                clock=self._clock,
            )
        return InProcessPlugin(
            plugin,
            command,
            hook_types=self._hook_types,
            plugin_modules=self._plugin_modules,
            surroundings=surroundings,
            limits=self._limits,
        )


def _together(one: PluginState, other: PluginState) -> PluginState:
    worst = min(one, other, key=lambda state: _WORST_FIRST.index(state.state))
    return msgspec.structs.replace(
        worst, abandoned=one.abandoned + other.abandoned, restarts=one.restarts + other.restarts
    )
