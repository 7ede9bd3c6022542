"""A plugin's command: which kind of plugin it is, and where."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from weir_host.errors import InvalidCommandError, UnsupportedCommandError

_PYTHON: Final = re.compile(r"python://([^\W\d]\w*(?:\.[^\W\d]\w*)*):([^\W\d]\w*)")
_LATER: Final = {
    "file": "a plugin in a process of its own",
    "grpc": "a plugin that runs elsewhere",
}


@dataclass(frozen=True, slots=True)
class PythonCommand:
    """A class that runs in the gateway's own process."""

    module: str
    class_name: str


def parse_command(command: str) -> PythonCommand:
    """Read ``python://package.module:Class``.

    Raises:
        UnsupportedCommandError: ``file://`` or ``grpc://``.
        InvalidCommandError: Anything else.
    """
    match = _PYTHON.fullmatch(command)
    if match is not None:
        return PythonCommand(match[1], match[2])
    scheme, separator, _ = command.partition("://")
    if separator and scheme in _LATER:
        raise UnsupportedCommandError(
            f"{scheme}:// ({_LATER[scheme]}) is not supported yet; use python://package.module:Class"
        )
    if scheme == "python" and separator:
        raise InvalidCommandError(f"{command!r} names no class; write python://package.module:Class")
    raise InvalidCommandError(f"{command!r} is not a plugin command; write python://package.module:Class")


def module_allowed(module: str, prefixes: tuple[str, ...] | None) -> bool:
    """Whether ``plugin_modules`` lets a module be a plugin: ``acme`` allows ``acme`` and ``acme.billing``."""
    if prefixes is None:
        return True
    return any(module == prefix or module.startswith(f"{prefix}.") for prefix in prefixes)
