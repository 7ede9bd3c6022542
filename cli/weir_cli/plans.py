"""Which children ``weir serve``, ``weir proxy`` and ``weir control`` have, and in which order they stop."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

from weir_cli.data_dir import DataDir, DataDirLock
from weir_cli.listening import Listeners
from weir_cli.orders import Orders
from weir_cli.processes import Command, child_environment
from weir_cli.stopping import SETTLE_S
from weir_cli.supervisor import ChildPlan
from weir_core.settings import Settings

_CONTROL_GRACE_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Household:
    """What all children of one supervisor share."""

    settings: Settings
    data_dir: DataDir
    encryption_keys: str
    environment: Mapping[str, str]
    lock_fd: int

    @classmethod
    def of(cls, settings: Settings, data_dir: DataDir, encryption_keys: str, lock: DataDirLock) -> Self:
        """What the children of this process share."""
        counting = {"PROMETHEUS_MULTIPROC_DIR": str(data_dir.metrics)}
        return cls(settings, data_dir, encryption_keys, child_environment(os.environ, counting), lock.fd)

    def child(
        self, name: str, role: str, *listeners: socket.socket, secrets: Mapping[str, str] | None = None
    ) -> Command:
        """How to start one child.

        Args:
            name: For ``ps`` and the log.
            role: See ``Orders``.
            listeners: The sockets that it serves.
            secrets: Settings that no other child is given.
        """
        own = {"data_dir": str(self.data_dir.root), **(secrets or {})}
        listen_fds = tuple(listener.fileno() for listener in listeners)
        orders = Orders(
            name=name,
            role=role,
            supervisor_pid=os.getpid(),
            settings=self.settings.for_children() | own,
            encryption_keys=self.encryption_keys,
            lock_fd=self.lock_fd,
            listen_fds=listen_fds,
        )
        argv = (sys.executable, "-m", "weir_cli.child", name)
        return Command(argv, orders.encode(), self.environment, (self.lock_fd, *listen_fds))


def children(household: Household, listeners: Listeners, demo_upstream: Command | None) -> list[ChildPlan]:
    """Those of ``weir serve``.

    Proxies stop first, so that nothing is cut off; then what reads their events; then what serves both. With
    Kafka there is a relay, which on its way out delivers what all of these left in their spools.
    """
    plans = _proxies(household, "run", listeners.of_proxies)
    if household.settings.kafka.bootstrap_servers is not None:
        plans.append(_relay(household, stop_order=3))
    collectors = household.child("collectors", "weir_cli.roles.collectors:run")
    plans.append(
        ChildPlan(
            "collectors", collectors, stop_order=1, grace_s=household.settings.shutdown_grace + SETTLE_S
        )
    )
    control = household.child("control", "weir_cli.roles.control:run", listeners.control, listeners.internal)
    plans.append(ChildPlan("control", control, stop_order=2, grace_s=_CONTROL_GRACE_S))
    if demo_upstream is not None:
        plans.append(ChildPlan("demo-upstream", demo_upstream, stop_order=4, grace_s=_CONTROL_GRACE_S))
    return plans


def proxy_children(
    household: Household,
    calls: Sequence[socket.socket],
    reports: socket.socket,
    *,
    edge_token: str | None,
    with_relay: bool,
) -> list[ChildPlan]:
    """Those of ``weir proxy``: what follows the configuration goes on until all else has ended.

    Args:
        household: What they share.
        calls: The gateway's port, and the admin listener's where there is one.
        reports: Takes the others' reports.
        edge_token: What control knows this edge by.
        with_relay: Whether the events are delivered by a child of this command.
    """
    plans = _proxies(household, "run_alone", calls)
    if with_relay:
        plans.append(_relay(household, stop_order=1))
    secrets = {} if edge_token is None else {"edge_token": edge_token}
    edge = household.child("edge", "weir_cli.roles.edge:run", reports, secrets=secrets)
    plans.append(ChildPlan("edge", edge, stop_order=2, grace_s=_CONTROL_GRACE_S))
    return plans


def control_children(household: Household, listeners: Sequence[socket.socket]) -> list[ChildPlan]:
    """Those of ``weir control``: the relay delivers the results of edge payloads, the last ones as well.

    ``listeners`` are the management API's, that of reports, and the admin listener's where there is one.
    """
    control = household.child("control", "weir_cli.roles.control:run_alone", *listeners)
    return [
        ChildPlan("control", control, stop_order=0, grace_s=_CONTROL_GRACE_S),
        _relay(household, stop_order=1),
    ]


def _proxies(household: Household, role: str, listeners: Sequence[socket.socket]) -> list[ChildPlan]:
    settings = household.settings
    return [
        ChildPlan(
            f"proxy-{number}",
            household.child(f"proxy-{number}", f"weir_cli.roles.proxy:{role}", *listeners),
            stop_order=0,
            grace_s=settings.shutdown_grace + SETTLE_S,
        )
        for number in range(1, settings.workers + 1)
    ]


def _relay(household: Household, stop_order: int) -> ChildPlan:
    command = household.child("relay", "weir_cli.roles.relay:run")
    grace_s = household.settings.kafka.relay_drain_seconds + SETTLE_S
    return ChildPlan("relay", command, stop_order=stop_order, grace_s=grace_s)
