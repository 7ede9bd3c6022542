"""From a plugin's command to its object. Everything here runs the plugin's own code, and may block."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from weir_host.commands import PythonCommand, module_allowed
from weir_host.errors import PluginStartError
from weir_sdk import BasePlugin
from weir_sdk.capabilities import HANDLERS

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


def served_hooks(handlers: Handlers) -> frozenset[str]:
    """The names that ``Instance.implements`` knows: of the handlers, and of the hook types they serve."""
    types = {kind for kind, names in HANDLERS.items() if any(name in handlers for name in names)}
    return frozenset(types | set(handlers))


def require_handlers(plugin: BasePlugin, hook_types: Iterable[str]) -> Handlers:
    """The handlers for hook types that an admin has declared.

    Raises:
        PluginStartError: A declared hook type has no handler; a guard that does nothing must not look as
            if it guarded.
    """
    wanted = tuple(hook_types)
    handlers = handlers_of(plugin, wanted)
    served = served_hooks(handlers)
    for hook_type in wanted:
        if hook_type not in served:
            raise PluginStartError(
                f"hook type {hook_type} is declared, but {type(plugin).__name__} has no "
                f"{' or '.join(HANDLERS.get(hook_type, ('handler for it',)))}"
            )
    return handlers


def described(error: BaseException) -> str:
    """An exception in one line."""
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
