"""``PluginHost``: all plugins of one process, kept as a snapshot of the configuration wants them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from weir_core.clock import Clock
from weir_core.snapshot import Snapshot
from weir_host.instance import Instance, PluginState
from weir_sdk.services import Logger, Runtime

GatewayReads: TypeAlias = Callable[[], Snapshot]
"""Returns the snapshot that is in force now; what plugins read of the configuration comes from it."""


class PluginHost:
    """Starts, changes and stops plugins; one plugin's failure never touches another."""

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
    ) -> None:
        raise NotImplementedError

    async def apply(self, snapshot: Snapshot, ready_within: float = 0.5) -> None:
        """Follow a snapshot; wait at most ``ready_within`` seconds for what has to start."""
        raise NotImplementedError

    def get(self, plugin_id: int) -> Instance | None:
        """The plugin, whatever its state; None when this process does not host it."""
        raise NotImplementedError

    def states(self) -> Mapping[int, PluginState]:
        """What each hosted plugin is doing, by plugin id."""
        raise NotImplementedError

    async def close(self) -> None:
        """Drain and stop all plugins."""
        raise NotImplementedError
