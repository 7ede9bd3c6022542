"""``weir plugin``: a new plugin, its checks, its schema, and what it does to what was recorded."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console

from weir_cli.errors import NotRecordedError, PluginNotStartedError, ScaffoldError
from weir_cli.plugin.arguments import plugin_from
from weir_cli.plugin.checking import Verdict, check_plugin
from weir_cli.plugin.effects import Effect
from weir_cli.plugin.playing import Player
from weir_cli.plugin.recorded import Recorded, read_recorded
from weir_cli.plugin.report import own_values, show_effect, show_log, show_verdicts
from weir_cli.plugin.rig import prints_aside, run_as_worker, started
from weir_cli.plugin.scaffold import Kind, module_name, write_plugin
from weir_cli.plugin.trial import Callers, declared, snapshot_of, tried
from weir_core.objects import Plugin
from weir_sdk.testing import LogLine, RecordingLogger

app = typer.Typer(no_args_is_help=True, help="Write, check and try out plugins, without a gateway.")

_Command = Annotated[
    str,
    typer.Argument(
        metavar="COMMAND",
        help="As the gateway takes it, python://module:Class or file:///path; or the path of a program here.",
    ),
]
_Config = Annotated[
    str | None,
    typer.Option("--config", metavar="FILE|JSON", help="The plugin's configuration, as a file or as JSON."),
]
_Hooks = Annotated[
    list[str] | None,
    typer.Option("--hook", metavar="NAME", help="Only this hook type; may be repeated. All it has, if not."),
]
_Scopes = Annotated[
    list[str] | None,
    typer.Option(
        "--scope", metavar="NAME", help="A service scope that it has, as apps.read; may be repeated."
    ),
]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Small letters, digits, dashes: my-guard.")],
    kind: Annotated[Kind, typer.Option(help="What it shall do.")] = Kind.ENRICHER,
    process: Annotated[bool, typer.Option("--process", help="Runs as a process of its own, too.")] = False,
    directory: Annotated[
        Path, typer.Option("--directory", metavar="DIR", help="Where to make its directory.")
    ] = Path(),
) -> None:
    """Write a new plugin: its code, its configuration's schema, its test and its README."""
    try:
        module_name(name)
    except ScaffoldError as error:
        raise typer.BadParameter(str(error), param_hint="NAME") from error
    written = write_plugin(directory, name, kind, process=process)
    for path in written:
        typer.echo(path)
    typer.echo(f"\n{written[0].parent / 'README.md'} says how to test, check and register it.")


@app.command()
def run(
    command: _Command,
    event: Annotated[
        str,
        typer.Option("--event", metavar="FILE", help="Recorded events or calls as JSON; - is stdin."),
    ],
    config: _Config = None,
    hooks: _Hooks = None,
    app_id: Annotated[
        int | None, typer.Option("--app", min=1, metavar="ID", help="Who calls: an app.")
    ] = None,
    user_id: Annotated[str | None, typer.Option("--user", metavar="ID", help="Who calls: a user.")] = None,
    scopes: _Scopes = None,
    timeout_ms: Annotated[
        int | None,
        typer.Option(min=1, help="For each call; unless given 1000 for hooks and 10000 for collectors."),
    ] = None,
    as_json: _Json = False,
) -> None:
    """Show a plugin what was recorded, and say what it does to it.

    A proxy log is the call that it tells of, and an event after that.
    Exit code 1 when a hook fails or the plugin cannot start.
    """
    plugin = plugin_from(command, config=config, hooks=hooks or (), scopes=scopes or ())
    callers = Callers(app_id=app_id, user_id=user_id)
    recorded = [callers.applied_to(one) for one in _recorded(event)]
    timeout_s = None if timeout_ms is None else timeout_ms / 1000
    with prints_aside() as out:
        console = Console(file=out)
        effects, log = run_as_worker(_run(plugin, recorded, timeout_s, None if as_json else console))
        if as_json:
            document = {"command": plugin.command, "effects": effects, "log": [_line(line) for line in log]}
            out.write(msgspec.json.format(msgspec.json.encode(document, enc_hook=str)).decode() + "\n")
        else:
            show_log(console, log)
    if not effects:
        raise typer.BadParameter("the plugin has no hook for what is in it", param_hint="--event")
    raise typer.Exit(any(effect.outcome == "failed" for effect in effects))


@app.command()
def check(
    command: _Command,
    config: _Config = None,
    hooks: Annotated[
        list[str] | None,
        typer.Option("--hook", metavar="NAME", help="A hook type of a program that cannot say what it has."),
    ] = None,
    scopes: _Scopes = None,
    as_json: _Json = False,
) -> None:
    """Find out whether a plugin behaves: start it, show each hook typical and odd input, stop it.

    Collectors get made-up events: let the configuration name a place for tests.
    Exit code 1 when a check fails.
    """
    plugin = plugin_from(command, config=config, hooks=hooks or (), scopes=scopes or ())
    with prints_aside() as out:
        console = Console(file=out)
        with Console(stderr=True).status(f"checking {plugin.command}"):
            verdicts: list[Verdict] = run_as_worker(check_plugin(plugin))
        if as_json:
            out.write(msgspec.json.format(msgspec.json.encode(verdicts)).decode() + "\n")
        else:
            show_verdicts(console, verdicts)
    raise typer.Exit(not all(verdict.passed for verdict in verdicts))


@app.command()
def schema(command: _Command) -> None:
    """Print the JSON Schema of a plugin's configuration."""
    plugin = plugin_from(command)
    found = run_as_worker(tried(plugin))
    if found.config_schema is not None:
        typer.echo(msgspec.json.format(msgspec.json.encode(found.config_schema)).decode())
    elif found.hooks or found.ok:
        raise PluginNotStartedError(f"{plugin.command} has no schema: it takes any configuration")
    else:
        raise PluginNotStartedError(f"{plugin.command} does not start: {found.reason}")


async def _run(
    plugin: Plugin, recorded: Sequence[Recorded], timeout_s: float | None, console: Console | None
) -> tuple[list[Effect], list[LogLine]]:
    """Play everything; print it as it happens where there is a console."""
    logger = RecordingLogger()
    effects: list[Effect] = []
    plugin = await declared(plugin, recorded)
    async with started(plugin, snapshot_of(plugin, recorded), logger) as instance:
        player = Player(instance, timeout_s)
        for one in recorded:
            async for effect in player.play(one):
                effects.append(effect)
                if console is not None:
                    show_effect(console, effect)
    return effects, logger.lines


def _recorded(source: str) -> list[Recorded]:
    try:
        text = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"cannot read {source}: {error.strerror}", param_hint="--event") from error
    try:
        return read_recorded(text)
    except NotRecordedError as error:
        raise typer.BadParameter(f"{source}: {error}", param_hint="--event") from error


def _line(line: LogLine) -> dict[str, Any]:
    return {"level": line.level, "message": line.message, "values": own_values(line)}
