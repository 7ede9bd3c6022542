"""``weir collect``: one more collectors process, beside those that share its Kafka and its database."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Final

import structlog

from weir_cli.bootstrap import confined, encryption_keys, is_embedded
from weir_cli.configuration import load_settings
from weir_cli.data_dir import DataDir
from weir_cli.ending import end_in_time, stop_deadline_s
from weir_cli.kafka import shares_configuration
from weir_cli.listening import bind
from weir_cli.logs import configure_logs
from weir_cli.loop_watch import watched_loop
from weir_cli.options import Config, DataDirFlag, HostFlag, PortFlag
from weir_cli.roles.collectors import run, run_alone
from weir_cli.roles.context import RoleContext
from weir_cli.stopping import StopSignal
from weir_core.clock import SystemClock
from weir_core.errors import SettingsError
from weir_core.secrets import KeyRing
from weir_core.settings import Settings
from weir_streams.locking import DirectoryLock

_PLACES: Final = 1024


def collect(
    host: HostFlag = None,
    port: PortFlag = None,
    data_dir: DataDirFlag = None,
    config: Config = None,
) -> None:
    """Run collectors and the accountant on Kafka until it is asked to stop.

    Any number may run, also beside those of weir serve: they share the partitions. On a Postgres each gets
    its configuration from Kafka and needs a data directory of its own; on SQLite it shares the gateway's.
    """
    settings = load_settings(config, {"data_dir": data_dir, "host": host})
    configure_logs(settings.log_format, settings.log_level, "collect")
    if settings.kafka.bootstrap_servers is None:
        raise SettingsError(
            "weir collect needs Kafka (WEIR_KAFKA_BOOTSTRAP_SERVERS): events in the spools are read by weir "
            "serve alone"
        )
    listeners = () if port is None else (bind(settings.host, port),)
    asyncio.run(_collect(settings, listeners))


async def _collect(settings: Settings, listeners: tuple[socket.socket, ...]) -> None:
    data_dir = DataDir.at(settings.data_dir)
    if not is_embedded(settings):
        settings = confined(settings)
    elif not data_dir.lock.exists():
        # It would take partitions from the others, and keep what it adds up to itself.
        raise SettingsError(
            f"{data_dir.root} is no data directory of weir serve, with which weir collect shares a SQLite "
            "database; give that directory (WEIR_DATA_DIR), or the shared database (WEIR_DATABASE_URL)"
        )
    name, lock = take_name(data_dir.root)
    stop, clock, logger = StopSignal(), SystemClock(), structlog.get_logger(f"weir.{name}")
    end_in_time(stop, stop_deadline_s(settings), clock, logger)
    role = run_alone if shares_configuration(settings) else run
    context = RoleContext(
        name=name,
        settings=settings,
        data_dir=data_dir,
        keyring=KeyRing.from_text(encryption_keys(settings, data_dir)),
        listeners=listeners,
        clock=clock,
        logger=logger,
        stop=stop,
    )
    try:
        with watched_loop(settings.loop_stall_seconds, logger):
            await role(context)
    finally:
        lock.release()


def take_name(data_dir: Path) -> tuple[str, DirectoryLock]:
    """The first free name among the processes of a data directory, and what holds it until this one ends.

    A process that is started in the place of a dead one has its name, and so finds its partitions in their
    groups, and the redrives that it had taken on.

    Raises:
        SettingsError: There are more processes than names.
    """
    for number in range(1, _PLACES + 1):
        place = data_dir / "collect" / str(number)
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = DirectoryLock.take(place)
        if lock is not None:
            return f"collect-{number}", lock
    raise SettingsError(f"{data_dir} has {_PLACES} collectors processes already; give others another one")
