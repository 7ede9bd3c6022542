"""From a plugin's command to its object. Everything here runs the plugin's own code, and may block."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from weir_host.commands import PythonCommand, module_allowed
from weir_host.errors import PluginStartError
from weir_sdk import BasePlugin
from weir_sdk.capabilities import HANDLERS
from weir_sdk.wire.failures import described

Handlers = Mapping[str, Callable[..., Any]]


def load_plugin(command: PythonCommand, plugin_modules: tuple[str, ...] | None) -> BasePlugin:
    """Import the module and make an object of the class.

    A module is imported once in a process: changed code needs a restart of the process, whatever else of the
    plugin changes.

    Raises:
        PluginStartError: The module is not allowed or fails to import, or the class is none of ours.
    """
    if not module_allowed(command.module, plugin_modules):
        raise PluginStartError(
            f"the module {command.module} is not among the plugin_modules that this gateway may load"
        )
    try:
        found = getattr(importlib.import_module(command.module), command.class_name, None)
    except (Exception, SystemExit) as error:
        raise PluginStartError(f"importing {command.module} failed: {described(error)}") from error
    if not isinstance(found, type) or not issubclass(found, BasePlugin):
        raise PluginStartError(
            f"{command.module} has no class {command.class_name} that derives from weir_sdk.BasePlugin"
        )
    try:
        return found()
    except (Exception, SystemExit) as error:
        raise PluginStartError(f"{command.class_name}() failed: {described(error)}") from error


def handlers_of(plugin: BasePlugin, hook_types: Iterable[str] = HANDLERS) -> Handlers:
    """The handlers that a plugin has for these hook types, by name."""
    names = (name for hook_type in hook_types for name in HANDLERS.get(hook_type, ()))
    found = {name: getattr(plugin, name, None) for name in names}
    return {name: handler for name, handler in found.items() if callable(handler)}


def served_hooks(handlers: Collection[str]) -> frozenset[str]:
    """The names that ``Instance.implements`` knows: of the handlers, and of the hook types they serve."""
    types = {kind for kind, names in HANDLERS.items() if any(name in handlers for name in names)}
    return frozenset(types | set(handlers))


def require_handlers(class_name: str, has: Iterable[str], hook_types: Iterable[str]) -> frozenset[str]:
    """The handlers for hook types that an admin has declared.

    Args:
        class_name: Of the plugin, for messages.
        has: The names of its handlers.
        hook_types: What is declared.

    Raises:
        PluginStartError: A declared hook type has no handler; a guard that does nothing must not look as
            if it guarded.
    """
    present, required = frozenset(has), set[str]()
    for hook_type in hook_types:
        names = HANDLERS.get(hook_type, ())
        found = present.intersection(names)
        if not found:
            raise PluginStartError(
                f"hook type {hook_type} is declared, but {class_name} has no "
                f"{' or '.join(names or ('handler for it',))}"
            )
        required |= found
    return frozenset(required)
