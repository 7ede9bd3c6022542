"""The ``weir`` command. Exit codes: 0 done, 1 failed, 2 wrong usage (settings included)."""

from __future__ import annotations

import asyncio
import sys
from importlib.metadata import version
from typing import Annotated

import typer
from rich.console import Console

from weir_cli import (
    collect,
    control,
    dead_letters,
    doctor,
    erase,
    events,
    keys,
    proxy,
    relay,
    streams,
    tokens,
    topics,
)
from weir_cli.bootstrap import database_url, encryption_keys, is_embedded
from weir_cli.configuration import load_settings
from weir_cli.data_dir import DataDir
from weir_cli.logs import configure_logs
from weir_cli.options import Config, DataDirFlag
from weir_cli.plugin import commands as plugin
from weir_cli.serve import serve as serve_until_stopped
from weir_collectors.database import parse_url
from weir_control.migrations import upgrade
from weir_core.errors import SettingsError, WeirError

app = typer.Typer(name="weir", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
database = typer.Typer(no_args_is_help=True, help="The database's tables.")
app.add_typer(tokens.app, name="tokens")
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(topics.app, name="topics")
app.add_typer(events.app, name="events")
app.add_typer(keys.app, name="keys")
app.add_typer(plugin.app, name="plugin")
app.command()(proxy.proxy)
app.command()(control.control)
app.command()(relay.relay)
app.command()(collect.collect)
app.command()(streams.streams)
app.command()(erase.erase)
app.command()(doctor.doctor)
app.add_typer(database, name="db")


def main() -> None:
    """Entry point of the ``weir`` script."""
    try:
        app()
    except SettingsError as error:
        _fail(error, 2)
    except WeirError as error:
        _fail(error, 1)


def _fail(error: WeirError, code: int) -> None:
    typer.echo(f"weir: {error}", err=True)
    sys.exit(code)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"weir {version('weir-gateway')}")
        raise typer.Exit


@app.callback()
def _weir(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """An LLM gateway whose usage data cannot be lost.

    Settings come from weir.toml, then WEIR_* in the environment, then flags: see docs/settings.md.
    """


@app.command()
def serve(
    demo: Annotated[
        bool, typer.Option("--demo", help="Add a mock upstream and print a call that works.")
    ] = False,
    workers: Annotated[int | None, typer.Option(help="Proxy processes; 1 unless set.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on; 127.0.0.1 unless set.")] = None,
    port: Annotated[int | None, typer.Option(help="TCP port; 3000 unless set.")] = None,
    data_dir: DataDirFlag = None,
    config: Config = None,
) -> None:
    """Run the whole gateway on this machine until it is asked to stop."""
    flags: dict[str, object] = {"workers": workers, "host": host, "port": port, "data_dir": data_dir}
    settings = load_settings(config, flags)
    configure_logs(settings.log_format, settings.log_level, "supervisor")
    raise typer.Exit(asyncio.run(serve_until_stopped(settings, demo=demo, console=Console())))


@database.command("upgrade")
def upgrade_database(data_dir: DataDirFlag = None, config: Config = None) -> None:
    """Bring the tables to this version's shape. With SQLite, weir serve does so by itself."""
    settings = load_settings(config, {"data_dir": data_dir})
    place = DataDir.at(settings.data_dir)
    if is_embedded(settings):
        # A database without its keys would be taken for one that has lost them.
        encryption_keys(settings, place)
    url = database_url(settings, place)
    shown = parse_url(url).render_as_string(hide_password=True)
    typer.echo(f"Bringing the tables of {shown} up to date; a large step may take a while.", err=True)
    asyncio.run(upgrade(url))
    typer.echo("The database is up to date.")
