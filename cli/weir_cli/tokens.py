"""``weir tokens``: management tokens, made and revoked where the data directory is, no token needed."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import Annotated, Final

import typer
from rich.table import Table
from sqlalchemy import RowMapping

from weir_cli.admin import command_line, existing_store
from weir_cli.configuration import load_settings
from weir_cli.options import Config, DataDirFlag
from weir_cli.printing import output
from weir_control.store.kinds import TOKEN
from weir_control.store.rows import fetch_page
from weir_control.store.tokens import add_token, remove_token
from weir_core.clock import rfc3339
from weir_core.secrets import Secret
from weir_core.settings import Settings

_PAGE: Final = 100

app = typer.Typer(no_args_is_help=True, help="Make, list and revoke management tokens.")


class Role(StrEnum):
    """What a token may do."""

    ADMIN = "admin"
    OPERATOR = "operator"
    AUDITOR = "auditor"
    VIEWER = "viewer"
    EDGE = "edge"


@app.command()
def create(
    name: Annotated[str, typer.Option(help="What it is for.")] = "command line",
    role: Annotated[
        Role,
        typer.Option(
            help="admin may do everything; operator all but secrets and tokens; auditor reads all; "
            "viewer reads, but no bodies; edge is for weir proxy and needs --namespace."
        ),
    ] = Role.ADMIN,
    namespace: Annotated[
        list[str] | None,
        typer.Option(help="Bind it to this namespace, '' being the default one; may be given several times."),
    ] = None,
    data_dir: DataDirFlag = None,
    config: Config = None,
) -> None:
    """Make a token and print it. It is shown only this once."""
    settings = load_settings(config, {"data_dir": data_dir})
    secret = asyncio.run(_create(settings, name, role, namespace or []))
    typer.echo(secret.reveal())


@app.command("list")
def list_(data_dir: DataDirFlag = None, config: Config = None) -> None:
    """Show all tokens, without their secrets."""
    table = Table("id", "name", "role", "namespaces", "key id", "created")
    for row in asyncio.run(_all(load_settings(config, {"data_dir": data_dir}))):
        created = rfc3339(row["created_at_us"])
        bound_to = ", ".join(map(repr, row["namespaces"] or ())) or "all"
        table.add_row(str(row["id"]), row["name"], row["role"], bound_to, row["key_id"] or "-", created)
    output().print(table)


@app.command()
def revoke(
    token_id: Annotated[int, typer.Argument(metavar="ID", help="As weir tokens list shows it.")],
    data_dir: DataDirFlag = None,
    config: Config = None,
) -> None:
    """Make a token stop working, at once."""
    asyncio.run(_revoke(load_settings(config, {"data_dir": data_dir}), token_id))
    typer.echo(f"Token {token_id} is revoked.")


async def _create(settings: Settings, name: str, role: Role, namespaces: list[str]) -> Secret:
    async with existing_store(settings) as store, store.changing(command_line()) as change:
        _, secret = await add_token(change, name, role.value, namespaces)
    return secret


async def _all(settings: Settings) -> list[RowMapping]:
    rows: list[RowMapping] = []
    async with existing_store(settings) as store, store.reading() as connection:
        while True:
            page, total = await fetch_page(connection, TOKEN, limit=_PAGE, offset=len(rows))
            rows += page
            if len(rows) >= total:
                return rows


async def _revoke(settings: Settings, token_id: int) -> None:
    async with existing_store(settings) as store, store.changing(command_line()) as change:
        await remove_token(change, token_id)
