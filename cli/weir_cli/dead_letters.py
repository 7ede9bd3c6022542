"""``weir dead-letters``: what collectors did not get, and asking for it to be delivered again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.table import Table
from sqlalchemy import RowMapping

from weir_cli.admin import command_line, existing_store
from weir_cli.configuration import load_settings
from weir_cli.errors import CliError
from weir_cli.options import Config, DataDirFlag
from weir_cli.printing import output
from weir_collectors.dead_letter_queries import (
    DeadLetterFilter,
    DeadLetterPage,
    find_letter,
    find_range,
    letters_page,
    ranges_page,
)
from weir_collectors.dead_letters import LetterState
from weir_collectors.kinds import EventKind
from weir_collectors.redrive_requests import Requested
from weir_control.redrives import redrive_collector, redrive_letter, redrive_range
from weir_core.clock import rfc3339
from weir_core.settings import Settings

_SHORT: Final = 60
_LETTER_COLUMNS: Final = ("id", "collector", "kind", "state", "failed_at_us", "event_id", "tries")
_RANGE_COLUMNS: Final = ("id", "collector", "kind", "state", "opened_at_us", "events", "redriven")
_HIDDEN: Final = ("claimed_by", "claimed_until_us", "value")
_MOMENT: Final = "_us"

app = typer.Typer(no_args_is_help=True, help="List, show and redrive what collectors did not get.")

_Id = Annotated[int, typer.Argument(metavar="ID", help="As weir dead-letters list shows it.")]
_Range = Annotated[bool, typer.Option("--range", help="The id is that of a range.")]
_Collector = Annotated[str | None, typer.Option(help="A collector's slug.")]


@app.command("list")
def list_(
    collector: _Collector = None,
    kind: Annotated[EventKind | None, typer.Option(help="One kind of event.")] = None,
    state: Annotated[LetterState | None, typer.Option(help="Letters in this state; no ranges.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Of each, at most.")] = 50,
    data_dir: DataDirFlag = None,
    config: Config = None,
) -> None:
    """Show the newest dead letters, and the ranges of them."""
    wanted = DeadLetterFilter(collector=collector, kind=kind, state=None if state is None else state.value)
    settings = load_settings(config, {"data_dir": data_dir})
    letters, ranges = asyncio.run(_list(settings, wanted, limit))
    console = output()
    console.print(_table("Dead letters", letters, _LETTER_COLUMNS))
    if state is None and ranges.rows:
        console.print(_table("Ranges", ranges, _RANGE_COLUMNS))


@app.command()
def show(
    letter_id: _Id, of_range: _Range = False, data_dir: DataDirFlag = None, config: Config = None
) -> None:
    """Show one dead letter with its whole event, bodies included, or one range."""
    row = asyncio.run(_find(load_settings(config, {"data_dir": data_dir}), letter_id, of_range))
    console = output()
    for name, value in _readable(row).items():
        console.print(f"[bold]{name}[/bold]: ", end="")
        console.print(value, markup=False, highlight=False)
    if row.get("value") is not None:
        console.print_json(data=msgspec.json.decode(row["value"]))


@app.command()
def redrive(
    letter_id: Annotated[int | None, typer.Argument(metavar="[ID]", help="One dead letter.")] = None,
    of_range: _Range = False,
    collector: _Collector = None,
    data_dir: DataDirFlag = None,
    config: Config = None,
) -> None:
    """Ask for one dead letter, one range, or all of a collector's to be delivered again.

    The collectors process of a running gateway does it within seconds; list shows how it went.
    """
    if (letter_id is None) == (collector is None):
        raise typer.BadParameter("give either an ID or --collector")
    settings = load_settings(config, {"data_dir": data_dir})
    requested = asyncio.run(_request(settings, letter_id, of_range, collector))
    typer.echo(f"Asked for {requested.letters} dead letters and {requested.ranges} ranges.")


async def _list(
    settings: Settings, wanted: DeadLetterFilter, limit: int
) -> tuple[DeadLetterPage, DeadLetterPage]:
    async with existing_store(settings) as store, store.reading() as connection:
        letters = await letters_page(connection, wanted, limit=limit, offset=0)
        return letters, await ranges_page(connection, wanted, limit=limit, offset=0)


async def _find(settings: Settings, row_id: int, of_range: bool) -> RowMapping:
    async with existing_store(settings) as store, store.reading() as connection:
        return await (find_range if of_range else find_letter)(connection, row_id)


async def _request(
    settings: Settings, row_id: int | None, of_range: bool, collector: str | None
) -> Requested:
    async with existing_store(settings) as store, store.writing() as connection:
        actor, now_us = command_line(), store.clock.wall_us()
        if collector is not None:
            return await redrive_collector(connection, actor, collector, now_us)
        if row_id is None:
            raise CliError("there is neither an id nor a collector to redrive")
        await (redrive_range if of_range else redrive_letter)(connection, actor, row_id, now_us)
        return Requested(letters=int(not of_range), ranges=int(of_range))


def _table(title: str, page: DeadLetterPage, columns: Sequence[str]) -> Table:
    headers = (name.removesuffix(_MOMENT).replace("_", " ") for name in columns)
    table = Table(*headers, "reason", title=f"{title}: {len(page.rows)} of {page.total}")
    for row in page.rows:
        reason = _short(row["redrive_error"] or row["reason"])
        table.add_row(*(_text(name, row[name]) for name in columns), reason)
    return table


def _text(name: str, value: object) -> str:
    return rfc3339(value) if name.endswith(_MOMENT) and isinstance(value, int) else str(value)


def _short(text: str) -> str:
    # Rich would read a sink's words as markup.
    line = " ".join(text.split()).replace("[", "\\[")
    return line if len(line) <= _SHORT else f"{line[:_SHORT]}…"


def _readable(row: Mapping[Any, Any]) -> dict[str, str]:
    """The columns worth reading, moments as RFC 3339."""
    return {
        name.removesuffix(_MOMENT): _text(name, value)
        for name, value in row.items()
        if name not in _HIDDEN and value is not None
    }
