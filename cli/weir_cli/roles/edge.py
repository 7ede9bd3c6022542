"""What proxies without a database need besides: their configuration out of Kafka, and a line to control."""

from __future__ import annotations

import asyncio
from typing import Final

import httpx2
import msgspec
from structlog.typing import FilteringBoundLogger

from weir_cli.asgi import serve_until
from weir_cli.beside import running_beside
from weir_cli.following import ConfigFollower
from weir_cli.kafka import kafka_settings
from weir_cli.roles.context import RoleContext
from weir_control.internal import create_internal_app
from weir_control.resources.edge_reports import Reports
from weir_control.workers import Workers
from weir_core.settings import Settings
from weir_streams.config_feed import FileConfigFeed
from weir_streams.kafka.config_topic import ConfigTopic

REPORTS_PATH: Final = "/api/v1/edge/reports"

_EVERY_S: Final = 1.0
_TIMEOUT_S: Final = 5.0


async def run(context: RoleContext) -> None:
    """Follow the configuration and pass the other children's reports on, until told to stop."""
    (reports,) = context.listeners
    settings = context.settings
    workers = Workers(context.clock)
    follower = ConfigFollower(
        ConfigTopic(kafka_settings(settings.kafka), context.keyring, settings.edge_namespace),
        FileConfigFeed(context.data_dir.config, context.keyring, context.logger),
        settings.edge_namespace,
        context.logger,
    )
    async with running_beside([follower.run(), pass_on(workers, settings, context.logger)]):
        await serve_until(context.stop.stopping, {reports: create_internal_app(workers)})


async def pass_on(workers: Workers, settings: Settings, logger: FilteringBoundLogger) -> None:
    """Report to control once a second until cancelled; while it is away, the next one says it again."""
    if settings.control_url is None or settings.edge_token is None:
        logger.warning("control does not hear of this proxy; give WEIR_CONTROL_URL and WEIR_EDGE_TOKEN")
        return
    headers = {"Authorization": f"Bearer {settings.edge_token.get_secret_value()}"}
    told = ""
    async with httpx2.AsyncClient(
        base_url=settings.control_url, headers=headers, timeout=_TIMEOUT_S
    ) as client:
        while True:
            refusal = await _report(client, _reports(workers, settings))
            if refusal and refusal != told:
                logger.error("control does not take the reports of this proxy", reason=refusal)
            told = refusal
            await asyncio.sleep(_EVERY_S)


def _reports(workers: Workers, settings: Settings) -> Reports:
    """What the live processes say, as ones of this edge: a relay started by hand may not know of which."""
    edge = {"edge_id": settings.edge_id, "namespace": settings.edge_namespace}
    live = (worker.report for worker in workers.all() if not worker.stale)
    return Reports(tuple(msgspec.structs.replace(report, **edge) for report in live))


async def _report(client: httpx2.AsyncClient, reports: Reports) -> str:
    """Send them; return why they were not taken, or nothing."""
    body = msgspec.json.encode(reports)
    try:
        answer = await client.post(REPORTS_PATH, content=body, headers={"Content-Type": "application/json"})
    except httpx2.HTTPError as error:
        return f"no answer: {error or type(error).__name__}"
    return "" if answer.is_success else f"{answer.status_code} {answer.text}"
