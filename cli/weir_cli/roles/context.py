"""What every role is given."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from structlog.typing import FilteringBoundLogger

from weir_cli.data_dir import DataDir
from weir_cli.stopping import StopSignal
from weir_core.clock import Clock
from weir_core.secrets import KeyRing
from weir_core.settings import Settings


@dataclass(frozen=True, slots=True)
class RoleContext:
    """One child's surroundings. ``listeners`` are the sockets that the role serves."""

    name: str
    settings: Settings
    data_dir: DataDir
    keyring: KeyRing
    listeners: tuple[socket.socket, ...]
    clock: Clock
    logger: FilteringBoundLogger
    stop: StopSignal


Role = Callable[[RoleContext], Awaitable[None]]
"""Serves until ``stop.stopping``, then ends cleanly; sooner when ``stop.hurried``."""
