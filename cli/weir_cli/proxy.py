"""``weir proxy``: model calls alone, for machines that reach Kafka and no database."""

from __future__ import annotations

import asyncio
from typing import Annotated

import structlog
import typer

from weir_cli.bootstrap import confined, given_keys
from weir_cli.configuration import load_settings
from weir_cli.data_dir import DataDir, DataDirLock
from weir_cli.listener_tls import listener_tls
from weir_cli.listening import base_url, bind, bind_admin, bind_unix
from weir_cli.logs import configure_logs
from weir_cli.options import Config, DataDirFlag
from weir_cli.plans import Household, proxy_children
from weir_cli.supervising import supervise
from weir_core.errors import SettingsError
from weir_core.settings import Settings


def proxy(
    host: Annotated[str | None, typer.Option(help="Address to listen on; 127.0.0.1 unless set.")] = None,
    port: Annotated[int | None, typer.Option(help="TCP port; 3000 unless set.")] = None,
    workers: Annotated[int | None, typer.Option(help="Proxy processes; 1 unless set.")] = None,
    no_relay: Annotated[
        bool,
        typer.Option("--no-relay", help="Leave the events to a weir relay on this data directory."),
    ] = False,
    data_dir: DataDirFlag = None,
    config: Config = None,
) -> None:
    """Serve model calls until it is asked to stop.

    The configuration comes out of Kafka, from weir control; the last one is kept, sealed, in the data
    directory and goes on while both are away. Events go to Kafka. No database is used.
    """
    flags: dict[str, object] = {"workers": workers, "host": host, "port": port, "data_dir": data_dir}
    settings = load_settings(config, flags)
    configure_logs(settings.log_format, settings.log_level, "supervisor")
    raise typer.Exit(asyncio.run(_proxy(settings, with_relay=not no_relay)))


async def _proxy(settings: Settings, *, with_relay: bool) -> int:
    keys = _check(settings)
    data_dir = DataDir.at(settings.data_dir)
    lock = await DataDirLock.take(data_dir)
    data_dir.prepare_run()
    gateway, admin = bind(settings.host, settings.port), bind_admin(settings)
    calls = [gateway] if admin is None else [gateway, admin]
    reports, tls = bind_unix(data_dir.internal_socket), listener_tls(settings)
    token = settings.edge_token
    # Should the settings that all machines share name a database, none of the children hears of it.
    own = confined(settings).model_copy(update={"database_url": None})
    household = Household.of(own, data_dir, keys, lock)

    def close_listeners() -> None:
        for listener in (*calls, reports):
            listener.close()

    return await supervise(
        proxy_children(
            household,
            calls,
            reports,
            edge_token=None if token is None else token.get_secret_value(),
            with_relay=with_relay,
        ),
        data_dir,
        close_listeners=close_listeners,
        greet=_greet(base_url(gateway, tls=tls is not None), settings),
    )


def _check(settings: Settings) -> str:
    """The keys, once it is clear that this machine can do without a database.

    Raises:
        SettingsError: Something is missing.
    """
    if settings.kafka.bootstrap_servers is None:
        raise SettingsError(
            "weir proxy needs Kafka (WEIR_KAFKA_BOOTSTRAP_SERVERS): its configuration comes from there and "
            "its events go there; weir serve does without"
        )
    if not settings.edge_id:
        raise SettingsError(
            "weir proxy needs a name of its own (WEIR_EDGE_ID), by which its events and reports are told "
            "from those of other proxies"
        )
    if (settings.control_url is None) != (settings.edge_token is None):
        raise SettingsError("WEIR_CONTROL_URL and WEIR_EDGE_TOKEN go together; give both or neither")
    return given_keys(settings, "weir proxy")


async def _greet(url: str, settings: Settings) -> None:
    logger = structlog.get_logger("weir.supervisor")
    logger.info("serving model calls", url=url, edge_id=settings.edge_id, namespace=settings.edge_namespace)
