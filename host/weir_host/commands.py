"""A plugin's command: which kind of plugin it is, and where."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Final

from weir_host.errors import InvalidCommandError, UnsupportedCommandError

_BUILT_IN: Final = "weir_collectors.builtin"
_PYTHON: Final = re.compile(r"python://([^\W\d]\w*(?:\.[^\W\d]\w*)*):([^\W\d]\w*)")
_FORMS: Final = "python://package.module:Class or file:///absolute/path"


@dataclass(frozen=True, slots=True)
class PythonCommand:
    """A class that runs in the gateway's own process."""

    module: str
    class_name: str


@dataclass(frozen=True, slots=True)
class FileCommand:
    """A program that runs in a process of its own; ``path`` is absolute and normal."""

    path: str


def parse_command(command: str) -> PythonCommand | FileCommand:
    """Read ``python://package.module:Class`` or ``file:///absolute/path``; nothing is looked up.

    Raises:
        UnsupportedCommandError: ``grpc://``.
        InvalidCommandError: Anything else.
    """
    scheme, separator, rest = command.partition("://")
    match scheme if separator else "":
        case "python":
            return _python(command)
        case "file":
            return _file(command, rest)
        case "grpc":
            raise UnsupportedCommandError(
                f"grpc:// (a plugin that runs elsewhere) is not supported yet; use {_FORMS}"
            )
    raise InvalidCommandError(f"{command!r} is not a plugin command; write {_FORMS}")


def module_allowed(module: str, prefixes: tuple[str, ...] | None) -> bool:
    """Whether ``plugin_modules`` lets a module be a plugin: ``acme`` allows ``acme`` and ``acme.billing``.

    The plugins that come with Weir are always allowed.
    """
    if prefixes is None:
        return True
    allowed = (*prefixes, _BUILT_IN)
    return any(module == prefix or module.startswith(f"{prefix}.") for prefix in allowed)


def _python(command: str) -> PythonCommand:
    match = _PYTHON.fullmatch(command)
    if match is None:
        raise InvalidCommandError(f"{command!r} names no class; write python://package.module:Class")
    return PythonCommand(match[1], match[2])


def _file(command: str, path: str) -> FileCommand:
    if not path.startswith("/"):
        raise InvalidCommandError(f"{command!r} has no absolute path; write file:///absolute/path")
    if not path.isprintable():
        raise InvalidCommandError(f"{command!r} has characters that no path should have")
    if os.path.normpath(path) != path or path.startswith("//") or path == "/":
        raise InvalidCommandError(
            f"{command!r} is not written plainly; write file:///absolute/path without '.', '..' or '//'"
        )
    return FileCommand(path)
