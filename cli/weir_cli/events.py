"""``weir events``: watching events pass, showing a range of them again, sending what Kafka refused."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from typing import Annotated

import structlog
import typer
from rich.console import Console
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from weir_cli.admin import command_line, existing_store
from weir_cli.configuration import load_settings
from weir_cli.errors import CliError
from weir_cli.event_lines import EventFilter, readable, shown
from weir_cli.kafka import open_tail
from weir_cli.logs import configure_logs
from weir_cli.options import Config, DataDirFlag
from weir_cli.spools import side_spool_settings
from weir_collectors.kinds import EventKind
from weir_collectors.replays import Replay, Replaying, request_replay
from weir_control.plugins.hook_types import effective_hook_types
from weir_control.store.audit import Entry, append_entry
from weir_control.store.kinds import PLUGIN
from weir_core.clock import SystemClock, parse_rfc3339
from weir_core.settings import Settings
from weir_streams.kafka.aside import RefusedFile
from weir_streams.kafka.resending import resend as send_again
from weir_streams.log import LogRecord, LogTail
from weir_streams.spool import Spool

app = typer.Typer(no_args_is_help=True, help="Watch events, replay them, or send them again.")

_Kinds = Annotated[
    list[EventKind] | None, typer.Option("--kind", help="This kind of event; may be given again.")
]


@app.command()
def tail(
    kind: _Kinds = None,
    app_id: Annotated[int | None, typer.Option("--app", help="Events of this app's id.")] = None,
    llm_id: Annotated[int | None, typer.Option("--llm", help="Events of this LLM's id.")] = None,
    outcome: Annotated[
        str | None, typer.Option(help="Events that ended so: served, blocked, denied, upstream_error ...")
    ] = None,
    from_start: Annotated[
        bool, typer.Option("--from-start", help="Begin with the oldest that are kept.")
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="End after so many.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Whole events, one a line.")] = False,
    data_dir: DataDirFlag = None,
    config: Config = None,
) -> None:
    """Show events as they come, until Ctrl-C.

    Nobody's place in the log moves. Budget events say nothing of outcomes.
    """
    settings = load_settings(config, {"data_dir": data_dir})
    wanted = EventFilter(app_id=app_id, llm_id=llm_id, outcome=outcome)
    log = open_tail(settings.kafka, settings.data_dir.absolute(), SystemClock())
    topics = [each.topic for each in kind or EventKind]
    with suppress(KeyboardInterrupt):
        asyncio.run(_tail(log.follow(topics, from_start=from_start), wanted, limit, as_json=as_json))


@app.command()
def replay(
    collector: Annotated[str, typer.Option(help="The collector's slug.")],
    from_: Annotated[
        str, typer.Option("--from", metavar="TIME", help="The first moment, as 2026-01-31T12:00:00Z.")
    ],
    to: Annotated[str, typer.Option("--to", metavar="TIME", help="The first moment that is not meant.")],
    kind: _Kinds = None,
    again: Annotated[bool, typer.Option("--again", help="Also what was replayed before.")] = False,
    data_dir: DataDirFlag = None,
    config: Config = None,
) -> None:
    """Show the events of a time range to one collector, and to nobody else.

    The collectors process of a running gateway does it; weir dead-letters list shows how far it is. Asked
    again for the same range, it goes on with what was interrupted.
    """
    replaying = Replay(collector, _moment(from_, "--from"), _moment(to, "--to"))
    if replaying.from_us >= replaying.to_us:
        raise typer.BadParameter("--from must be before --to")
    settings = load_settings(config, {"data_dir": data_dir})
    log = open_tail(settings.kafka, settings.data_dir.absolute(), SystemClock())
    came = asyncio.run(_replay(settings, log, replaying, kind or list(EventKind), again=again))
    typer.echo(_summary(came, collector))


@app.command()
def resend(data_dir: DataDirFlag = None, config: Config = None) -> None:
    """Send again what Kafka refused and the relay set aside, once what it was refused for is mended.

    It goes into the data directory's spools, from where the relay sends it. It may be run while the gateway
    runs; ended half-way, the same command goes on.
    """
    settings = load_settings(config, {"data_dir": data_dir})
    configure_logs(settings.log_format, "warning", "events")
    resent = send_again(RefusedFile(settings.data_dir, SystemClock()), lambda: _side_spool(settings))
    typer.echo(f"{resent.events} events are in the spool again; the relay sends them.")
    if resent.unreadable:
        typer.echo(f"{resent.unreadable} lines are no events and stay in the file; remove them.", err=True)
        raise typer.Exit(1)


async def _tail(
    batches: AsyncGenerator[Sequence[LogRecord], None],
    wanted: EventFilter,
    limit: int | None,
    *,
    as_json: bool,
) -> None:
    console = Console(soft_wrap=True, highlight=False)
    left = sys.maxsize if limit is None else limit
    async with aclosing(batches):
        async for records in batches:
            for record in records:
                event = shown(record)
                if not wanted.lets(event):
                    continue
                if as_json:
                    typer.echo(record.value.decode(errors="replace"))
                else:
                    console.print(readable(record, event), markup=False)
                left -= 1
                if not left:
                    return


async def _replay(
    settings: Settings, log: LogTail, replaying: Replay, kinds: Sequence[EventKind], *, again: bool
) -> Replaying:
    async with existing_store(settings) as store:
        places = await log.bounds([kind.topic for kind in kinds], replaying.from_us)
        async with store.writing() as connection:
            plugin_id = await _collector_id(connection, replaying.collector)
            now_us = store.clock.wall_us()
            came = await request_replay(connection, replaying, places, now_us, again=again)
            after = {"collector": replaying.collector, "range": replaying.reason, **came._asdict()}
            entry = Entry(resource="plugins", object_id=plugin_id, action="replay", after=after)
            await append_entry(connection, command_line(), now_us, entry)
            return came


async def _collector_id(connection: AsyncConnection, slug: str) -> int:
    rows = await connection.execute(select(PLUGIN.table).where(PLUGIN.table.c.slug == slug))
    row = rows.mappings().one_or_none()
    if row is None or "data_collection" not in effective_hook_types(row):
        raise CliError(f"there is no collector {slug!r}; GET /api/v1/collectors lists them")
    plugin_id: int = row["id"]
    return plugin_id


def _side_spool(settings: Settings) -> Spool:
    return Spool.open(
        settings.data_dir,
        settings=side_spool_settings(settings),
        clock=SystemClock(),
        logger=structlog.get_logger("weir.events"),
        # Which groups retention has to wait for is known to the gateway's own processes.
        needed_groups=lambda: None,
        owner="resend",
    )


def _moment(text: str, option: str) -> int:
    try:
        return parse_rfc3339(text)
    except ValueError as error:
        raise typer.BadParameter(f"{option}: {error}") from error


def _summary(came: Replaying, collector: str) -> str:
    if not any(came):
        return "The log has no events of this range any more."
    said = [f"{count} {name.replace('_', ' ')}" for name, count in came._asdict().items() if count]
    return f"Ranges of the log for {collector}: {', '.join(said)}."
