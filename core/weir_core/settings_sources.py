"""How ``weir.toml``, the environment and flags become one ``Settings``, and how they spell each setting.

Reading the file and the environment is the caller's work; nothing here touches the machine.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from pydantic import BaseModel, ValidationError

from weir_core.errors import SettingsError
from weir_core.options_table import OptionsTable
from weir_core.settings import NEVER_SHOWN, Settings

ENVIRONMENT_PREFIX: Final = "WEIR_"


class SettingName(NamedTuple):
    """One setting in its two spellings, and what the model says of it."""

    dotted: str
    environment: str
    default: object
    description: str


def setting_names() -> Iterator[SettingName]:
    """All settings in the order of the model, tables last."""
    yield from _names_of(Settings, "")


def resolve(
    *,
    file: Mapping[str, Any],
    environ: Mapping[str, str],
    flags: Mapping[str, object],
    file_name: str = "weir.toml",
) -> Settings:
    """Merge the three sources, the later over the earlier, and validate the result.

    Args:
        file: The parsed TOML document.
        environ: The whole environment; only names that start with ``WEIR_`` are looked at. An empty value
            is taken as absent.
        flags: Dotted setting names to values; None is taken as absent.
        file_name: What errors call the file.

    Raises:
        SettingsError: A name is unknown or a value is out of range. The message has one line, names the
            setting as its source spells it, and never shows a secret.
    """
    sources = (
        _Source(_flatten(file), str, where=f"{file_name}: "),
        _Source(_from_environment(environ), _environment_name),
        _Source(
            {name: value for name, value in flags.items() if value is not None},
            lambda name: "--" + name.replace("_", "-"),
        ),
    )
    for source in sources:
        source.refuse_unknown()
    try:
        return Settings.model_validate(_nested(sources))
    except ValidationError as error:
        raise SettingsError("; ".join(_problems(error, sources))) from None


class _Source(NamedTuple):
    values: Mapping[str, object]
    spell: Callable[[str], str]
    where: str = ""

    def refuse_unknown(self) -> None:
        known = [name.dotted for name in setting_names()]
        for name in self.values:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                advice = f"; did you mean {self.spell(near[0])}?" if near else "; see docs/settings.md"
                raise SettingsError(f"{self.where}{self.spell(name)} is not a setting{advice}")


def _names_of(table: type[BaseModel], prefix: str) -> Iterator[SettingName]:
    for name, field in table.model_fields.items():
        dotted = prefix + name
        if isinstance(field.default, OptionsTable):
            yield from _names_of(type(field.default), f"{dotted}.")
        else:
            yield SettingName(dotted, _environment_name(dotted), field.default, field.description or "")


def _environment_name(dotted: str) -> str:
    return ENVIRONMENT_PREFIX + dotted.replace(".", "_").upper()


def _from_environment(environ: Mapping[str, str]) -> dict[str, object]:
    """By dotted name; a name that is no setting keeps its own spelling, lower-cased, to be refused."""
    dotted = {name.environment: name.dotted for name in setting_names()}
    return {
        dotted.get(name, name.removeprefix(ENVIRONMENT_PREFIX).lower()): value
        for name, value in environ.items()
        if name.startswith(ENVIRONMENT_PREFIX) and value
    }


def _flatten(table: Mapping[str, Any], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in table.items():
        if isinstance(value, Mapping):
            flat.update(_flatten(value, f"{prefix}{name}."))
        else:
            flat[prefix + name] = value
    return flat


def _nested(sources: tuple[_Source, ...]) -> dict[str, object]:
    merged: dict[str, Any] = {}
    for source in sources:
        for dotted, value in source.values.items():
            *tables, name = dotted.split(".")
            target = merged
            for table in tables:
                target = target.setdefault(table, {})
            target[name] = value
    return merged


def _problems(error: ValidationError, sources: tuple[_Source, ...]) -> Iterator[str]:
    for problem in error.errors(include_url=False):
        dotted, source = _origin(tuple(str(part) for part in problem["loc"]), sources)
        text = problem["msg"].removeprefix("Value error, ").replace("Input should", "should")
        shown = "" if dotted in NEVER_SHOWN else f" (it is {source.values[dotted]!r})"
        yield f"{source.where}{source.spell(dotted)} {text}{shown}"


def _origin(path: tuple[str, ...], sources: tuple[_Source, ...]) -> tuple[str, _Source]:
    """The setting that a validation error is about, without a position in a list, and who gave it."""
    for length in range(len(path), 0, -1):
        dotted = ".".join(path[:length])
        for source in reversed(sources):
            if dotted in source.values:
                return dotted, source
    raise AssertionError(f"no source gave {path}")
