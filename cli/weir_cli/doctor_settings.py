"""What is configured, and where each value comes from. A secret is only ever said to be set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from weir_core.settings import Settings
from weir_core.settings_sources import setting_names

_HIDDEN: Final = "(set, not shown)"


class Configured(msgspec.Struct, frozen=True):
    """One setting that is not left at its default."""

    name: str
    value: str
    source: str


def configured(
    settings: Settings, file: Mapping[str, Any], environ: Mapping[str, str], flags: Mapping[str, object]
) -> list[Configured]:
    """The settings that somebody chose.

    Args:
        settings: As resolved.
        file: The parsed settings file.
        environ: The whole environment.
        flags: Dotted setting names to values, None where a flag was not given.
    """
    shown = settings.without_secrets()
    found = []
    for name in setting_names():
        source = _source(name.dotted, name.environment, file, environ, flags)
        if source:
            value = _at(shown, name.dotted)
            text = _HIDDEN if value is None else str(value)
            found.append(Configured(name.dotted, text, source))
    return found


def _source(
    dotted: str,
    variable: str,
    file: Mapping[str, Any],
    environ: Mapping[str, str],
    flags: Mapping[str, object],
) -> str:
    if flags.get(dotted) is not None:
        return "flag"
    if environ.get(variable):
        return variable
    return "settings file" if _at(file, dotted) is not None else ""


def _at(table: Mapping[str, Any], dotted: str) -> object:
    value: object = table
    for part in _parts(dotted):
        if not isinstance(value, Mapping):
            return None
        value = value.get(part)
    return value


def _parts(dotted: str) -> Iterator[str]:
    yield from dotted.split(".")
