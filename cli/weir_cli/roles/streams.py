"""The streams app with its store, its Faust reader, its producer, its webhook and its health."""

from __future__ import annotations

import asyncio
import copy
import socket
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry
from structlog.typing import FilteringBoundLogger

from weir_cli.beside import running_beside
from weir_cli.kafka import instance_name, kafka_settings, relay_settings
from weir_cli.listener_tls import listener_tls
from weir_cli.role_health import HealthApp, serve_health
from weir_cli.stopping import StopSignal
from weir_cli.streams_metrics import StreamsMetrics
from weir_core.clock import Clock
from weir_core.errors import SettingsError
from weir_core.money import to_nano
from weir_core.settings import Settings
from weir_core.streams_options import StreamsOptions
from weir_core.webhook_signing import Signer
from weir_streams.errors import StreamsExtraMissingError
from weir_streams.kafka.publisher import Publisher
from weir_streams.kafka.tail import KafkaTail
from weir_streams.log import Partition
from weir_streams.windows.app import TOPICS, StreamsApp, StreamsSettings
from weir_streams.windows.posting import WebhookPoster
from weir_streams.windows.rules import Rules
from weir_streams.windows.status import StreamsStatus
from weir_streams.windows.store import open_store

if TYPE_CHECKING:
    from weir_streams.windows.faust_reader import FaustReader

_SHOW_EVERY_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class StreamsContext:
    """What the role is given. ``directory`` is its own."""

    settings: Settings
    directory: Path
    listeners: tuple[socket.socket, ...]
    clock: Clock
    logger: FilteringBoundLogger
    stop: StopSignal


async def run(context: StreamsContext) -> None:
    """Keep windows until told to stop.

    Raises:
        StreamsExtraMissingError: Faust is not installed.
        SettingsError: The settings do not fit together.
        WindowsError: A new process has to read on.
    """
    app = app_of(context)
    context.stop.unfinished = lambda: _unfinished(app.status)
    async with running_beside(_watching(context, app)):
        await app.run(context.stop.stopping)


def app_of(context: StreamsContext) -> StreamsApp:
    """The app of a directory. Blocks: opens the store. Raises as ``run``."""
    reader = _reader_type()
    settings = context.settings
    options = settings.streams
    kafka = kafka_settings(settings.kafka)
    store, broken = open_store(context.directory / "windows.db", options.window_seconds)
    if broken is not None:
        context.logger.error("windows are made anew from all events that Kafka has", reason=broken)

    def read(places: Callable[[], Mapping[Partition, int]]) -> FaustReader:
        return reader(
            kafka,
            # A store that is made anew has nothing to do with what another one has read.
            group=f"weir.streams.{store.store_id}",
            instance=instance_name(context.directory, "streams"),
            topics=TOPICS,
            places=places,
            scratch=context.directory / "faust",
        )

    return StreamsApp(
        store,
        read=read,
        tail=KafkaTail(kafka),
        connect=partial(Publisher.open, kafka, relay_settings(settings.kafka)),
        poster=_poster(options, context.clock),
        settings=StreamsSettings(
            keep_days=min(options.keep_days, settings.kafka.analytics_days),
            retention_days=settings.kafka.analytics_days,
            stall_s=options.stall_seconds,
            rules=rules_of(options),
        ),
        clock=context.clock,
        logger=context.logger,
    )


def rules_of(options: StreamsOptions) -> Rules:
    """What raises an alert."""
    return Rules(
        spend_nano=None if options.alert_spend is None else to_nano(options.alert_spend),
        spike_factor=options.alert_spike_factor,
        spike_windows=options.alert_spike_windows,
        error_rate=options.alert_error_rate,
        error_requests=options.alert_error_requests,
    )


def _reader_type() -> type[FaustReader]:
    try:
        from weir_streams.windows.faust_reader import FaustReader  # noqa: PLC0415 - an extra of its own
    except ModuleNotFoundError as error:
        raise StreamsExtraMissingError(
            f"weir streams needs {error.name}; run pip install weir-gateway[streams]"
        ) from error
    return FaustReader


def _poster(options: StreamsOptions, clock: Clock) -> WebhookPoster | None:
    if options.webhook_url is None or options.webhook_secret is None:
        return None
    try:
        signer = Signer(options.webhook_secret.get_secret_value())
    except ValueError as error:
        raise SettingsError(f"streams.webhook_secret: {error}") from error
    return WebhookPoster(options.webhook_url, signer, clock)


def _watching(context: StreamsContext, app: StreamsApp) -> Iterator[Coroutine[Any, Any, None]]:
    registry = CollectorRegistry()
    yield _show_forever(app, StreamsMetrics(registry))
    for listener in context.listeners:
        health = HealthApp(lambda: _reasons(app.status), registry, lambda: _illness(app.status))
        yield serve_health(health, listener, context.stop.hurried, listener_tls(context.settings))


async def _show_forever(app: StreamsApp, metrics: StreamsMetrics) -> None:
    while True:
        metrics.show(copy.copy(app.status))
        await asyncio.sleep(_SHOW_EVERY_S)


def _reasons(status: StreamsStatus) -> list[str]:
    reasons = [] if status.caught_up else ["windows are not published until all events are read"]
    return reasons + [reason for reason in (status.last_error, status.stalled) if reason is not None]


def _unfinished(status: StreamsStatus) -> list[str]:
    return [f"{status.lag} events are not in windows"] if status.lag else []


def _illness(status: StreamsStatus) -> list[str]:
    return [] if status.stalled is None else [status.stalled]
