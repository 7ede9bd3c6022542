"""What is typed behind ``weir plugin``, as the plugin of a configuration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, get_args

import msgspec
import typer

from weir_core.objects import HookType, Plugin
from weir_host.commands import FileCommand, parse_command
from weir_host.errors import InvalidCommandError
from weir_sdk.capabilities import HANDLERS

PLUGIN_ID: Final = 1
_FORMS: Final = "python://package.module:Class, file:///absolute/path, or the path of a program"


def plugin_from(
    command: str, *, config: str | None = None, hooks: Sequence[str] = (), scopes: Sequence[str] = ()
) -> Plugin:
    """The plugin that an admin would have created with these.

    Args:
        command: ``python://``, ``file://``, or the path of a program here.
        config: A file of JSON, or JSON.
        hooks: Its hook types.
        scopes: Its service scopes.

    Raises:
        typer.BadParameter: One of them cannot be used.
    """
    written, name = _command(command)
    return Plugin(
        id=PLUGIN_ID,
        name=name,
        slug=name,
        command=written,
        config={} if config is None else _config(config),
        hook_types=hook_types(hooks),
        service_scopes=tuple(scopes),
    )


def hook_types(names: Sequence[str]) -> tuple[HookType, ...]:
    """Names of hook types, checked.

    Raises:
        typer.BadParameter: One of them is none.
    """
    known: dict[str, HookType] = {name: name for name in get_args(HookType) if name in HANDLERS}
    for name in names:
        if name not in known:
            raise typer.BadParameter(
                f"{name!r} is no hook; write one of {', '.join(known)}", param_hint="--hook"
            )
    return tuple(known[name] for name in names)


def _command(text: str) -> tuple[str, str]:
    """The command in full, and a name for the plugin."""
    if "://" not in text:
        path = Path(text).resolve()
        if not path.is_file():
            raise _bad_command(f"there is no file {text}; write {_FORMS}")
        text = f"file://{path}"
    try:
        command = parse_command(text)
    except InvalidCommandError as error:
        raise _bad_command(str(error)) from error
    if isinstance(command, FileCommand):
        return text, Path(command.path).stem
    return text, command.class_name


def _bad_command(message: str) -> typer.BadParameter:
    return typer.BadParameter(message, param_hint="COMMAND")


def _config(text: str) -> dict[str, Any]:
    source = "the JSON"
    if not text.lstrip().startswith("{"):
        source = text
        try:
            text = Path(text).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is not UTF-8"
            raise _bad_config(f"cannot read {source}: {why}; give a file of JSON, or JSON") from error
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise _bad_config(f"{source} is not a JSON object: {error}") from error


def _bad_config(message: str) -> typer.BadParameter:
    return typer.BadParameter(message, param_hint="--config")
