"""At which stages a plugin works."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from weir_core.objects import HookType

HOOK_TYPES: Final[tuple[HookType, ...]] = (
    "pre_auth",
    "auth",
    "post_auth",
    "on_response",
    "data_collection",
    "studio",
)
"""Those that exist now, in the order in which a request meets them; control comes last."""


def effective_hook_types(plugin: Mapping[Any, Any]) -> list[HookType]:
    """What the admin named, else what the plugin implements; empty when neither is known.

    Args:
        plugin: A row with ``hook_types`` and ``probe_hooks``.
    """
    named: list[HookType] | None = plugin["hook_types"]
    return in_order(plugin["probe_hooks"]) if named is None else named


def in_order(hooks: Iterable[str]) -> list[HookType]:
    """The known hook types among ``hooks``."""
    present = set(hooks)
    return [hook for hook in HOOK_TYPES if hook in present]
