"""``weir streams``: windows of spend and alerts, made from the events on Kafka."""

from __future__ import annotations

import asyncio
import socket

import structlog

from weir_cli.configuration import load_settings
from weir_cli.data_dir import DataDir
from weir_cli.ending import end_in_time, stop_deadline_s
from weir_cli.errors import DataDirInUseError
from weir_cli.listening import bind
from weir_cli.logs import configure_logs
from weir_cli.options import Config, DataDirFlag, HostFlag, PortFlag
from weir_cli.roles.streams import StreamsContext, run
from weir_cli.stopping import StopSignal
from weir_core.clock import SystemClock
from weir_core.errors import SettingsError
from weir_core.settings import Settings
from weir_streams.locking import DirectoryLock


def streams(
    host: HostFlag = None,
    port: PortFlag = None,
    data_dir: DataDirFlag = None,
    config: Config = None,
) -> None:
    """Keep windows of spend on weir.spend.v1 and raise alerts until it is asked to stop.

    One process does it for an installation. It keeps its windows in the data directory, which need not be the
    gateway's, and ends with code 1 when a new process has to read on.
    """
    settings = load_settings(config, {"data_dir": data_dir, "host": host})
    configure_logs(settings.log_format, settings.log_level, "streams")
    if settings.kafka.bootstrap_servers is None:
        raise SettingsError("weir streams needs Kafka; set WEIR_KAFKA_BOOTSTRAP_SERVERS")
    if settings.streams.webhook_url is not None and settings.streams.webhook_secret is None:
        raise SettingsError("streams.webhook_url needs streams.webhook_secret, which signs what is posted")
    listeners = () if port is None else (bind(settings.host, port),)
    asyncio.run(_streams(settings, listeners))


async def _streams(settings: Settings, listeners: tuple[socket.socket, ...]) -> None:
    directory = DataDir.at(settings.data_dir).streams
    directory.mkdir(mode=0o700, exist_ok=True)
    lock = DirectoryLock.take(directory)
    if lock is None:
        raise DataDirInUseError(f"another weir streams keeps its windows in {directory}; stop it first")
    stop, clock, logger = StopSignal(), SystemClock(), structlog.get_logger("weir.streams")
    end_in_time(stop, stop_deadline_s(settings), clock, logger)
    try:
        await run(
            StreamsContext(
                settings=settings,
                directory=directory,
                listeners=listeners,
                clock=clock,
                logger=logger,
                stop=stop,
            )
        )
    finally:
        lock.release()
