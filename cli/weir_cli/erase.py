"""``weir erase``: bodies and identifiers of an app or a user out of what the gateway has stored."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from sqlalchemy import event, select

from weir_cli.admin import command_line, existing_store
from weir_cli.configuration import load_settings
from weir_cli.options import Config, DataDirFlag
from weir_collectors.erasing import Eraser, ErasureRun
from weir_collectors.erasures import Scope
from weir_control.store.audit import Entry, append_entry
from weir_control.store.store import Store
from weir_control.store.tables import plugins
from weir_core.clock import rfc3339
from weir_core.settings import Settings

_COLLECTS = "data_collection"


def erase(
    app: Annotated[int | None, typer.Option(min=1, metavar="ID", help="Erase this app's calls.")] = None,
    user: Annotated[str | None, typer.Option(metavar="ID", help="Erase this user's calls.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    data_dir: DataDirFlag = None,
    config: Config = None,
) -> None:
    """Remove bodies and identifiers of an app or a user from records, dead letters and sums.

    Counts and costs stay. It may run while the gateway does; when it is ended, the same command goes on. At
    its end it says what it cannot reach.
    """
    if (app is None) == (user is None) or user == "":
        raise typer.BadParameter("give either --app or --user", param_hint="--app / --user")
    scope, subject = (Scope.USER, user) if user is not None else (Scope.APP, str(app))
    settings = load_settings(config, {"data_dir": data_dir})
    if not yes:
        typer.confirm(
            f"Erase what {scope} {subject} asked and was answered? This cannot be undone", abort=True
        )
    asyncio.run(_erase(settings, scope, subject, Console()))


async def _erase(settings: Settings, scope: Scope, subject: str, console: Console) -> None:
    async with existing_store(settings) as store:
        _erase_securely(store)
        eraser = Eraser(store.engine, store.clock)
        run = await eraser.begin(scope, subject)
        await _note(store, scope, run)
        if run.resumed:
            console.print("Going on with a run that was ended before it was done.")
        await _show(eraser, run, console)
        emptied = await _empty_the_write_ahead_log(store)
        console.print(
            f"Erased: calls of {scope} {subject} that began up to {rfc3339(run.target.cutoff_us)}; what of "
            "them is stored later is erased on its way. Out of reach, and until when:",
            soft_wrap=True,
        )
        for line in _out_of_reach(settings, await _sinks(store), emptied=emptied):
            console.print(f"  - {line}", soft_wrap=True)


async def _note(store: Store, scope: Scope, run: ErasureRun) -> None:
    """For the audit log: that there was an erasure, but of a user no name."""
    subject = run.target.subject if scope is Scope.APP else None
    after = {"scope": str(scope), "app_id": subject, "resumed": run.resumed}
    async with store.writing() as connection:
        entry = Entry(resource="erasures", action="erase", after=after)
        await append_entry(connection, command_line(), store.clock.wall_us(), entry)


async def _show(eraser: Eraser, run: ErasureRun, console: Console) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    erased: dict[str, int] = {}
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        shown: dict[str, Any] = {}
        async with aclosing(eraser.run(run)) as steps:
            async for step in steps:
                if step.stage not in shown:
                    shown[step.stage] = bars.add_task(step.stage, total=step.total or 1)
                bars.update(shown[step.stage], completed=step.done if step.total else 1)
                erased[step.stage] = step.erased
    for stage, count in erased.items():
        console.print(f"{stage}: {count} erased")


def _out_of_reach(settings: Settings, sinks: list[str], *, emptied: bool) -> Iterator[str]:
    """Where copies may be that this cannot change, each with when it is gone."""
    spool = settings.spool
    yield (
        f"the spool, {settings.data_dir}/spool: until every consumer has read it and it is "
        f"{spool.retention_hours:g} hours old"
    )
    kafka = settings.kafka
    if kafka.bootstrap_servers is not None:
        yield (
            f"Kafka's topics: proxy logs {kafka.proxy_log_days} days, analytics {kafka.analytics_days}, "
            f"budget usage {kafka.budget_usage_days}, where the cluster keeps to these settings"
        )
        yield "notices of dead letters on Kafka, whose reasons may quote what was asked: 14 days"
        yield "events that Kafka refused, in relay/refused.jsonl of each relay: until you remove them"
    for sink in sinks:
        yield f"what collector {sink} has written: as long as its sink keeps it"
    yield (
        f"undecodable events, of which a user cannot be told: {settings.retention.records_days:g} days after "
        "they came"
    )
    yield (
        "what plugins at the edge sent to plugins at control, whatever is in it: until it is delivered, dead "
        f"letters of it {settings.retention.dead_letters_days:g} days"
    )
    if not emptied:
        yield "the database's write-ahead log, in use just now: until its next checkpoint"
    yield "backups of the database, and the gateway's log files: as long as you keep them"
    yield "the configuration (an app's description, owner, user_id) and its audit log: until you change them"


async def _sinks(store: Store) -> list[str]:
    """The names of the collectors that are configured, active or not: an inactive one may have written."""
    async with store.reading() as connection:
        rows = await connection.execute(select(plugins.c.slug, plugins.c.hook_types).order_by(plugins.c.slug))
        return [row.slug for row in rows if _COLLECTS in (row.hook_types or ())]


def _erase_securely(store: Store) -> None:
    """Let SQLite overwrite what it frees, in the connections that this process opens from now on."""
    if store.engine.dialect.name == "sqlite":
        event.listen(store.engine.sync_engine, "connect", _overwrite_freed)


def _overwrite_freed(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    try:
        cursor.execute("PRAGMA secure_delete = ON")
    finally:
        cursor.close()


async def _empty_the_write_ahead_log(store: Store) -> bool:
    """Write SQLite's log into its database, so that no old page stays in it; False while it is read."""
    if store.engine.dialect.name != "sqlite":
        return True
    async with store.engine.connect() as connection:
        # Not through a transaction, in which there are no checkpoints.
        driver: Any = (await connection.get_raw_connection()).driver_connection
        cursor = await driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        busy = (await cursor.fetchone())[0]
        await cursor.close()
        return not busy
