"""A collector process's report of itself."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from weir_collectors.breaker import BreakerState
from weir_collectors.collector import Collector
from weir_collectors.counters import CollectorCounters, Counters, GroupCounters, total_lag
from weir_collectors.groups import observer_group
from weir_collectors.kinds import EventKind
from weir_collectors.roster import Roster
from weir_core.objects import Plugin
from weir_host.host import PluginHost


class BreakerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One collector's breaker for one kind of event; ``paused`` says that its group waits for the sink."""

    kind: str
    state: BreakerState
    reason: str
    paused: bool
    reason_unquoted: str | None = None


class CollectorStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One data_collection plugin. Counts are events since the process started.

    ``lag`` counts the records that wait in its groups: an observer's own, or the deciding groups, which all
    deciders share. It is None until all have been counted. A group that gets on with nothing makes it
    ``stuck``, a late one ``late``. ``lag_s`` is how old the oldest of these records is, ``age_s`` how old the
    last one of a group was when it was kept, the oldest of these. ``breakers`` are those that are not closed.
    """

    plugin_id: int
    name: str
    observer: bool
    state: str
    reason: str
    lag: int | None
    handled: int
    passed: int
    failed: int
    skipped: int
    stored: int
    redriven: int
    overruns: int
    last_error: str | None
    breakers: tuple[BreakerStatus, ...] = ()
    stuck: bool = False
    lag_s: float = 0.0
    late: bool = False
    age_s: float | None = None
    last_error_unquoted: str | None = None


class GroupStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One consumer group; ``lag`` is None before it has been counted for the first time.

    Counts are events since the process started; ``age_s`` is of the last, ``lag_s`` of
    the oldest that is not finished, and ``late`` when that is past half of what the log keeps."""

    kind: str
    group: str
    lag: int | None
    decided: int
    stored: int
    undecodable: int
    restarts: int
    overruns: int
    last_error: str | None
    stuck: bool = False
    stalls: int = 0
    age_s: float | None = None
    lag_s: float = 0.0
    late: bool = False


class WorkerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a collector process says about itself; ``revision`` is None before the first one.

    ``kinds`` are the deciding groups.
    """

    revision: int | None
    collectors: tuple[CollectorStatus, ...]
    kinds: tuple[GroupStatus, ...]
    observers: tuple[GroupStatus, ...] = ()


def worker_status(revision: int | None, host: PluginHost, roster: Roster, counters: Counters) -> WorkerStatus:
    """Put together what is known without asking anybody."""
    return WorkerStatus(
        revision=revision,
        collectors=tuple(_collector_status(plugin, host, roster, counters) for plugin in roster.plugins),
        kinds=tuple(_group_status(kind, kind.group, group) for kind, group in counters.deciding.items()),
        observers=tuple(
            _group_status(kind, observer_group(slug, kind), counters.observing[slug, kind])
            for slug in sorted(roster.observers())
            for kind in EventKind
        ),
    )


def _collector_status(
    plugin: Plugin, host: PluginHost, roster: Roster, counters: Counters
) -> CollectorStatus:
    own = counters.collectors.get(plugin.slug, CollectorCounters())
    state, reason = _state(plugin, host, roster)
    observer = plugin.collector.observer
    groups = [
        counters.observing[plugin.slug, kind] if observer else counters.deciding[kind] for kind in EventKind
    ]
    return CollectorStatus(
        plugin_id=plugin.id,
        name=plugin.slug,
        observer=observer,
        state=state,
        reason=reason,
        lag=total_lag(group.lag for group in groups),
        handled=own.handled,
        passed=own.passed,
        failed=own.failed,
        skipped=own.skipped,
        stored=own.stored,
        redriven=own.redriven,
        overruns=sum(group.overruns for group in groups),
        last_error=own.last_error,
        breakers=_breakers(roster.of_plugin(plugin.id)),
        stuck=any(group.stuck for group in groups),
        lag_s=max(group.lag_s for group in groups),
        late=any(group.late for group in groups),
        age_s=max((group.age_s for group in groups if group.age_s is not None), default=None),
        last_error_unquoted=own.last_error_unquoted,
    )


def _breakers(collectors: Sequence[Collector]) -> tuple[BreakerStatus, ...]:
    return tuple(
        BreakerStatus(
            kind=collector.kind.value,
            state=collector.breaker.state,
            reason=collector.breaker.reason,
            paused=collector.paused,
            reason_unquoted=collector.breaker.unquoted,
        )
        for collector in collectors
        if not collector.breaker.closed
    )


def _state(plugin: Plugin, host: PluginHost, roster: Roster) -> tuple[str, str]:
    refusal = roster.refused.get(plugin.id)
    if refusal is not None:
        return "failed", refusal
    instance = host.get(plugin.id)
    if instance is None:
        return "stopped", "it is not running in this process"
    return instance.state, instance.reason


def _group_status(kind: EventKind, group: str, own: GroupCounters) -> GroupStatus:
    return GroupStatus(
        kind=kind.value,
        group=group,
        lag=own.lag,
        decided=own.decided,
        stored=own.stored,
        undecodable=own.undecodable,
        restarts=own.restarts,
        overruns=own.overruns,
        last_error=own.last_error,
        stuck=own.stuck,
        stalls=own.stalls,
        age_s=own.age_s,
        lag_s=own.lag_s,
        late=own.late,
    )
