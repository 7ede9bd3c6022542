"""``weir control``: the management plane alone, any number of them on one Postgres and one Kafka."""

from __future__ import annotations

import asyncio
from typing import Annotated

import structlog
import typer

from weir_cli.admin import admit_admin, open_store
from weir_cli.bootstrap import confined, given_keys, prepare_database
from weir_cli.configuration import load_settings
from weir_cli.data_dir import DataDir, DataDirLock
from weir_cli.kafka import shares_configuration
from weir_cli.listener_tls import listener_tls
from weir_cli.listening import base_url, bind, bind_admin, bind_unix
from weir_cli.logs import configure_logs
from weir_cli.options import Config, DataDirFlag
from weir_cli.plans import Household, control_children
from weir_cli.supervising import supervise
from weir_core.errors import SettingsError
from weir_core.settings import Settings


def control(
    host: Annotated[str | None, typer.Option(help="Address to listen on; 127.0.0.1 unless set.")] = None,
    port: Annotated[int | None, typer.Option(help="TCP port; 3000 unless set.")] = None,
    data_dir: DataDirFlag = None,
    config: Config = None,
) -> None:
    """Serve the management API until it is asked to stop.

    Of several, each serves the whole API; one, the leader, publishes the configuration into Kafka and
    delivers edge payloads. When it is gone, another does.
    """
    settings = load_settings(config, {"host": host, "port": port, "data_dir": data_dir})
    configure_logs(settings.log_format, settings.log_level, "supervisor")
    raise typer.Exit(asyncio.run(_control(settings)))


async def _control(settings: Settings) -> int:
    if not shares_configuration(settings):
        raise SettingsError(
            "weir control needs a Postgres (WEIR_DATABASE_URL) and a Kafka (WEIR_KAFKA_BOOTSTRAP_SERVERS), "
            "which it shares with the other roles; weir serve does without"
        )
    keys = given_keys(settings, "weir control")
    data_dir = DataDir.at(settings.data_dir)
    lock = await DataDirLock.take(data_dir)
    data_dir.prepare_run()
    management, admin = bind(settings.host, settings.port), bind_admin(settings)
    tls = listener_tls(settings)
    listeners = [management, bind_unix(data_dir.internal_socket), *([] if admin is None else [admin])]
    await prepare_database(settings, data_dir)
    async with open_store(settings, data_dir, keys) as store:
        token = await admit_admin(store, settings)

    def close_listeners() -> None:
        for listener in listeners:
            listener.close()

    return await supervise(
        control_children(Household.of(confined(settings), data_dir, keys, lock), listeners),
        data_dir,
        close_listeners=close_listeners,
        greet=_greet(base_url(management, tls=tls is not None), token),
    )


async def _greet(url: str, new_token: str | None) -> None:
    structlog.get_logger("weir.supervisor").info("serving the management API", url=f"{url}/api/v1")
    if new_token is not None:
        typer.echo(f"admin token: {new_token}   (shown this once)")
