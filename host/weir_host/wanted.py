"""Which instances a snapshot wants: one of each plugin for each configuration that it is attached with."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import msgspec

from weir_core.objects import Plugin
from weir_core.snapshot import Snapshot

InstanceKey: TypeAlias = tuple[int, bytes]
"""A plugin's id and the ``config_override`` of its attachments; the bytes are empty where there is none."""


def instance_key(plugin_id: int, override: Mapping[str, Any] | None) -> InstanceKey:
    """Overrides that say the same give the same key."""
    if not override:
        return plugin_id, b""
    return plugin_id, msgspec.json.encode(override, order="deterministic")


def wanted_instances(
    snapshot: Snapshot, plugins: Iterable[Plugin], *, by_attachment: bool
) -> dict[InstanceKey, Plugin]:
    """Each instance's plugin, with the configuration that is the instance's own.

    A plugin whose attachments all override its configuration has no instance with that alone.

    Args:
        snapshot: What attaches plugins.
        plugins: Those that are hosted.
        by_attachment: Whether overrides count; collectors run once, whatever they are attached to.
    """
    overrides = _overrides(snapshot) if by_attachment else {}
    return {
        instance_key(plugin.id, override): _overridden(plugin, override)
        for plugin in plugins
        for override in overrides.get(plugin.id, [{}])
    }


def _overrides(snapshot: Snapshot) -> Mapping[int, list[dict[str, Any]]]:
    found: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    for llm in snapshot.llms.values():
        if llm.is_active:
            for attachment in llm.attachments:
                found[attachment.plugin_id].append(attachment.config_override)
    return found


def _overridden(plugin: Plugin, override: dict[str, Any]) -> Plugin:
    if not override:
        return plugin
    return msgspec.structs.replace(plugin, config={**plugin.config, **override})
