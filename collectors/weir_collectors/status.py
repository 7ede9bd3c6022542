"""A collector process's report of itself."""

from __future__ import annotations

import msgspec

from weir_collectors.counters import CollectorCounters, Counters, KindCounters
from weir_collectors.kinds import EventKind
from weir_collectors.roster import Roster
from weir_core.objects import Plugin
from weir_host.host import PluginHost


class CollectorStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One data_collection plugin. Counts are events since the process started.

    ``lag`` counts the records that wait in the deciding groups, which all collectors share.
    """

    plugin_id: int
    name: str
    state: str
    reason: str
    lag: int
    handled: int
    passed: int
    failed: int
    stored: int
    last_error: str | None


class KindStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One deciding group. Counts are events since the process started."""

    kind: str
    group: str
    lag: int
    decided: int
    stored: int
    undecodable: int
    restarts: int
    last_error: str | None


class WorkerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a collector process says about itself; ``revision`` is None before the first one."""

    revision: int | None
    collectors: tuple[CollectorStatus, ...]
    kinds: tuple[KindStatus, ...]


def worker_status(revision: int | None, host: PluginHost, roster: Roster, counters: Counters) -> WorkerStatus:
    """Put the report together from what is known in memory."""
    lag = sum(counters.kinds[kind].lag for kind in EventKind)
    return WorkerStatus(
        revision=revision,
        collectors=tuple(_collector_status(plugin, host, roster, counters, lag) for plugin in roster.plugins),
        kinds=tuple(_kind_status(kind, counters.kinds[kind]) for kind in EventKind),
    )


def _collector_status(
    plugin: Plugin, host: PluginHost, roster: Roster, counters: Counters, lag: int
) -> CollectorStatus:
    own = counters.collectors.get(plugin.slug, CollectorCounters())
    state, reason = _state(plugin, host, roster)
    return CollectorStatus(
        plugin_id=plugin.id,
        name=plugin.slug,
        state=state,
        reason=reason,
        lag=lag,
        handled=own.handled,
        passed=own.passed,
        failed=own.failed,
        stored=own.stored,
        last_error=own.last_error,
    )


def _state(plugin: Plugin, host: PluginHost, roster: Roster) -> tuple[str, str]:
    refusal = roster.refused.get(plugin.id)
    if refusal is not None:
        return "failed", refusal
    instance = host.get(plugin.id)
    if instance is None:
        return "stopped", "it is not running in this process"
    return instance.state, instance.reason


def _kind_status(kind: EventKind, own: KindCounters) -> KindStatus:
    return KindStatus(
        kind=kind.value,
        group=kind.group,
        lag=own.lag,
        decided=own.decided,
        stored=own.stored,
        undecodable=own.undecodable,
        restarts=own.restarts,
        last_error=own.last_error,
    )
