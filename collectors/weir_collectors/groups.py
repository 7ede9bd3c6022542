"""Which consumer groups the collectors need, read off a configuration snapshot."""

from __future__ import annotations

from collections.abc import Iterator

from weir_collectors.kinds import EventKind
from weir_core.objects import Plugin
from weir_core.snapshot import Snapshot

_HOOK_TYPE = "data_collection"


def observer_group(slug: str, kind: EventKind) -> str:
    """The consumer group of one observer for one kind of event."""
    return f"weir.observer.{slug}.{kind.value}"


def active_collectors(snapshot: Snapshot) -> Iterator[Plugin]:
    """The plugins that want events, observers included."""
    return (
        plugin for plugin in snapshot.plugins.values() if plugin.is_active and _HOOK_TYPE in plugin.hook_types
    )


def observer_groups(snapshot: Snapshot) -> frozenset[str]:
    """The groups of the active observers: while a group is among them, it keeps what it has not read.

    Spool retention asks this of the newest snapshot, so that an observer that is gone holds nothing.
    """
    return frozenset(
        observer_group(plugin.slug, kind)
        for plugin in active_collectors(snapshot)
        if plugin.collector.observer
        for kind in EventKind
    )
