"""Which plugins decide, and about which events: read off a configuration snapshot."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from weir_collectors.backoff import Backoff
from weir_collectors.collector import Collector
from weir_collectors.errors import UnsupportedCollectorError
from weir_collectors.kinds import EventKind
from weir_core.errors import InvalidInputError
from weir_core.objects import Plugin
from weir_core.snapshot import Snapshot
from weir_host.host import PluginHost

_HOOK_TYPE: Final = "data_collection"


def check_collector(plugin: Plugin) -> None:
    """Refuse what a deciding group could not keep to. For control before it stores, and for the worker.

    Raises:
        UnsupportedCollectorError: The option's behaviour does not exist yet.
        InvalidInputError: A number is out of its range; ``field`` names it.
    """
    options = plugin.collector
    if plugin.runtime != "gateway":
        raise UnsupportedCollectorError(
            "collectors of the studio runtime are not supported yet; let runtime be gateway", field="runtime"
        )
    if options.observer:
        raise UnsupportedCollectorError(
            "observer collectors are not supported yet; leave observer out", field="collector.observer"
        )
    if options.on_outage != "store":
        raise UnsupportedCollectorError(
            "on_outage is not supported yet but for its default, store", field="collector.on_outage"
        )
    for name in ("timeout_ms", "max_tries", "window"):
        if getattr(options, name) < 1:
            raise InvalidInputError(f"{name} must be at least 1", field=f"collector.{name}")


class Roster:
    """The collectors in force, per kind of event. They stay the same objects while their plugin does."""

    def __init__(
        self,
        host: PluginHost,
        backoff: Backoff,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._host = host
        self._backoff = backoff
        self._sleep = sleep
        self._collectors: Mapping[EventKind, Mapping[int, Collector]] = {kind: {} for kind in EventKind}
        self.plugins: Sequence[Plugin] = ()
        """The active collectors of the snapshot, those refused included."""
        self.refused: Mapping[int, str] = {}
        """Why some of them are never asked, by plugin id."""

    def deciding(self, kind: EventKind) -> Sequence[Collector]:
        """The collectors to ask about events of this kind from now on."""
        return tuple(self._collectors[kind].values())

    def dismiss(self, snapshot: Snapshot) -> None:
        """Ask no more of the collectors that the snapshot no longer wants; the host may stop them then."""
        wanted = {plugin.id for plugin in _wanted(snapshot)}
        self._collectors = {
            kind: {plugin_id: item for plugin_id, item in collectors.items() if plugin_id in wanted}
            for kind, collectors in self._collectors.items()
        }

    def appoint(self, snapshot: Snapshot) -> None:
        """Ask all that the snapshot wants, with its options and attachments."""
        self.plugins = tuple(_wanted(snapshot))
        self.refused = dict(_refusals(self.plugins))
        attached = _attached_llms(snapshot)
        self._collectors = {
            kind: {
                plugin.id: self._collector(plugin, kind, attached.get(plugin.id, frozenset()))
                for plugin in self.plugins
                if plugin.id not in self.refused
            }
            for kind in EventKind
        }

    def _collector(self, plugin: Plugin, kind: EventKind, llm_ids: frozenset[int]) -> Collector:
        present = self._collectors[kind].get(plugin.id)
        if present is not None and (present.plugin, present.llm_ids) == (plugin, llm_ids):
            return present
        return Collector(plugin, kind, llm_ids, host=self._host, backoff=self._backoff, sleep=self._sleep)


def _wanted(snapshot: Snapshot) -> Iterator[Plugin]:
    return (
        plugin for plugin in snapshot.plugins.values() if plugin.is_active and _HOOK_TYPE in plugin.hook_types
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
