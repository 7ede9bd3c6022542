"""Which children ``weir serve`` has, and in which order they stop."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from weir_cli.data_dir import DataDir
from weir_cli.listening import Listeners
from weir_cli.orders import Orders
from weir_cli.processes import Command
from weir_cli.supervisor import ChildPlan
from weir_core.settings import Settings

# Above what the role itself allows, so that it can still settle what it had to cut off.
_SETTLE_S: Final = 5.0
_COLLECTORS_GRACE_S: Final = 15.0
_CONTROL_GRACE_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Household:
    """What all children of one supervisor share."""

    settings: Settings
    data_dir: DataDir
    encryption_keys: str
    environment: Mapping[str, str]
    lock_fd: int

    def child(self, name: str, role: str, *listeners: socket.socket) -> Command:
        """How to start one child, named for ``ps`` and the log, with the sockets that it serves."""
        listen_fds = tuple(listener.fileno() for listener in listeners)
        orders = Orders(
            name=name,
            role=role,
            supervisor_pid=os.getpid(),
            settings=self.settings.for_children() | {"data_dir": str(self.data_dir.root)},
            encryption_keys=self.encryption_keys,
            lock_fd=self.lock_fd,
            listen_fds=listen_fds,
        )
        argv = (sys.executable, "-m", "weir_cli.child", name)
        return Command(argv, orders.encode(), self.environment, (self.lock_fd, *listen_fds))


def children(household: Household, listeners: Listeners, demo_upstream: Command | None) -> list[ChildPlan]:
    """Proxies stop first, so that nothing is cut off; then what reads their events; then what serves both.

    With Kafka there is a relay, which on its way out delivers what the proxies left.
    """
    settings = household.settings
    plans = [
        ChildPlan(
            f"proxy-{number}",
            household.child(f"proxy-{number}", "weir_cli.roles.proxy:run", *listeners.of_proxies),
            stop_order=0,
            grace_s=settings.shutdown_grace + _SETTLE_S,
        )
        for number in range(1, settings.workers + 1)
    ]
    if settings.kafka.bootstrap_servers is not None:
        relay = household.child("relay", "weir_cli.roles.relay:run")
        grace_s = settings.kafka.relay_drain_seconds + _SETTLE_S
        plans.append(ChildPlan("relay", relay, stop_order=1, grace_s=grace_s))
    collectors = household.child("collectors", "weir_cli.roles.collectors:run")
    plans.append(ChildPlan("collectors", collectors, stop_order=1, grace_s=_COLLECTORS_GRACE_S))
    control = household.child("control", "weir_cli.roles.control:run", listeners.control, listeners.internal)
    plans.append(ChildPlan("control", control, stop_order=2, grace_s=_CONTROL_GRACE_S))
    if demo_upstream is not None:
        plans.append(ChildPlan("demo-upstream", demo_upstream, stop_order=3, grace_s=_CONTROL_GRACE_S))
    return plans
