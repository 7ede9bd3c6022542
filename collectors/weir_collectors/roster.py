"""Which plugins are asked, and about which events: read off a configuration snapshot."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from weir_collectors.backoff import Backoff
from weir_collectors.breaker import Breaker
from weir_collectors.collector import Collector
from weir_collectors.errors import UnsupportedCollectorError
from weir_collectors.groups import active_collectors
from weir_collectors.kinds import EventKind
from weir_core.errors import InvalidInputError
from weir_core.objects import Plugin
from weir_core.snapshot import Snapshot
from weir_host.host import PluginHost

_AT_LEAST_ONE: Final = ("timeout_ms", "max_tries", "window", "max_lag")


def check_collector(plugin: Plugin) -> None:
    """Refuse what a group could not keep to. For control before it stores, and for the worker.

    Raises:
        UnsupportedCollectorError: The option's behaviour does not exist yet.
        InvalidInputError: A number is out of its range; ``field`` names it.
    """
    if plugin.runtime != "gateway":
        raise UnsupportedCollectorError(
            "collectors of the studio runtime are not supported yet; let runtime be gateway", field="runtime"
        )
    for name in _AT_LEAST_ONE:
        if getattr(plugin.collector, name) < 1:
            raise InvalidInputError(f"{name} must be at least 1", field=f"collector.{name}")


class Roster:
    """The collectors in force, per kind of event. They stay the same objects while their plugin does.

    Args:
        breaker: Makes a new collector's breaker.
    """

    def __init__(
        self,
        host: PluginHost,
        backoff: Backoff,
        breaker: Callable[[Plugin, EventKind], Breaker],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._host = host
        self._backoff = backoff
        self._breaker = breaker
        self._sleep = sleep
        self._collectors: Mapping[EventKind, Mapping[int, Collector]] = {kind: {} for kind in EventKind}
        self.plugins: Sequence[Plugin] = ()
        """The active collectors of the snapshot, those refused included."""
        self.refused: Mapping[int, str] = {}
        """Why some of them are never asked, by plugin id."""

    def deciding(self, kind: EventKind) -> Sequence[Collector]:
        """The deciders to ask about events of this kind from now on."""
        return tuple(item for item in self._of(kind) if not item.plugin.collector.observer)

    def observing(self, kind: EventKind, slug: str) -> Sequence[Collector]:
        """The observer of this name for this kind; nothing while there is none."""
        return tuple(
            item for item in self._of(kind) if item.plugin.collector.observer and item.plugin.slug == slug
        )

    def find(self, kind: EventKind, slug: str) -> Collector | None:
        """The collector of this name for this kind, decider or observer."""
        return next((item for item in self._of(kind) if item.plugin.slug == slug), None)

    def of_plugin(self, plugin_id: int) -> Sequence[Collector]:
        """One plugin's collectors, of all kinds."""
        found = (collectors.get(plugin_id) for collectors in self._collectors.values())
        return tuple(item for item in found if item is not None)

    def observers(self) -> frozenset[str]:
        """The slugs of the observers in force."""
        return frozenset(
            plugin.slug
            for plugin in self.plugins
            if plugin.collector.observer and plugin.id not in self.refused
        )

    def dismiss(self, snapshot: Snapshot) -> None:
        """Ask no more of the collectors that the snapshot no longer wants; the host may stop them then."""
        wanted = {plugin.id for plugin in active_collectors(snapshot)}
        self._replace(
            {
                kind: {plugin_id: item for plugin_id, item in collectors.items() if plugin_id in wanted}
                for kind, collectors in self._collectors.items()
            }
        )

    def appoint(self, snapshot: Snapshot) -> None:
        """Ask all that the snapshot wants, with its options and attachments."""
        self.plugins = tuple(active_collectors(snapshot))
        self.refused = dict(_refusals(self.plugins))
        attached = _attached_llms(snapshot)
        self._replace(
            {
                kind: {
                    plugin.id: self._collector(plugin, kind, attached.get(plugin.id, frozenset()))
                    for plugin in self.plugins
                    if plugin.id not in self.refused
                }
                for kind in EventKind
            }
        )

    def _of(self, kind: EventKind) -> Iterable[Collector]:
        return self._collectors[kind].values()

    def _replace(self, collectors: Mapping[EventKind, Mapping[int, Collector]]) -> None:
        before, self._collectors = self._collectors, collectors
        for kind, present in collectors.items():
            for plugin_id, collector in before[kind].items():
                if present.get(plugin_id) is not collector:
                    collector.retire()

    def _collector(self, plugin: Plugin, kind: EventKind, llm_ids: frozenset[int]) -> Collector:
        present = self._collectors[kind].get(plugin.id)
        if present is not None and (present.plugin, present.llm_ids) == (plugin, llm_ids):
            return present
        return Collector(
            plugin,
            kind,
            llm_ids,
            host=self._host,
            backoff=self._backoff,
            breaker=self._breaker(plugin, kind),
            sleep=self._sleep,
        )


def _refusals(plugins: Iterable[Plugin]) -> Iterator[tuple[int, str]]:
    for plugin in plugins:
        try:
            check_collector(plugin)
        except InvalidInputError as error:
            yield plugin.id, str(error)


def _attached_llms(snapshot: Snapshot) -> Mapping[int, frozenset[int]]:
    llms: dict[int, set[int]] = {}
    for llm in snapshot.llms.values():
        for attachment in llm.attachments:
            llms.setdefault(attachment.plugin_id, set()).add(llm.id)
    return {plugin_id: frozenset(ids) for plugin_id, ids in llms.items()}
