"""``weir relay``: the relay alone, for proxies that are run one by one."""

from __future__ import annotations

import asyncio
import socket

import structlog

from weir_cli.bootstrap import encryption_keys
from weir_cli.configuration import load_settings
from weir_cli.data_dir import DataDir
from weir_cli.ending import end_in_time, relay_deadline_s
from weir_cli.listening import bind
from weir_cli.logs import configure_logs
from weir_cli.options import Config, DataDirFlag, HostFlag, PortFlag
from weir_cli.roles.context import RoleContext
from weir_cli.roles.relay import run
from weir_cli.stopping import StopSignal
from weir_core.clock import SystemClock
from weir_core.secrets import KeyRing
from weir_core.settings import Settings


def relay(
    host: HostFlag = None,
    port: PortFlag = None,
    data_dir: DataDirFlag = None,
    config: Config = None,
) -> None:
    """Send the spools of a data directory to Kafka until it is asked to stop.

    weir serve does it by itself where Kafka is configured. One relay at a time serves a data directory; a
    second one waits.
    """
    settings = load_settings(config, {"data_dir": data_dir, "host": host})
    configure_logs(settings.log_format, settings.log_level, "relay")
    listeners = () if port is None else (bind(settings.host, port),)
    asyncio.run(_relay(settings, listeners))


async def _relay(settings: Settings, listeners: tuple[socket.socket, ...]) -> None:
    data_dir = DataDir.at(settings.data_dir)
    stop, clock, logger = StopSignal(), SystemClock(), structlog.get_logger("weir.relay")
    end_in_time(stop, relay_deadline_s(settings), clock, logger)
    await run(
        RoleContext(
            name="relay",
            settings=settings,
            data_dir=data_dir,
            keyring=KeyRing.from_text(encryption_keys(settings, data_dir)),
            listeners=listeners,
            clock=clock,
            logger=logger,
            stop=stop,
        )
    )
