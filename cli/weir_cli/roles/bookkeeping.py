"""What the collectors' process does besides collecting: the accountant, and removing what is too old."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from weir_cli.kafka import instance_name, topic_retention_s
from weir_cli.roles.context import RoleContext
from weir_collectors.accountant import Accountant, AccountantSettings, AccountantStatus
from weir_collectors.book import Book
from weir_collectors.retention import Pruner, RetentionSettings
from weir_control.studio.inbox import dead_letters_of
from weir_streams.billed import BILLED_TOPICS
from weir_streams.log import EventLog


class Bookkeeping:
    """Two background jobs over the collectors' log and database; their owner closes these after the run."""

    def __init__(self, context: RoleContext, engine: AsyncEngine, log: EventLog) -> None:
        retention, kept_s = context.settings.retention, topic_retention_s(context.settings)
        self._accountant = Accountant(
            log,
            Book(engine, instance_name(context.data_dir.root, context.name)),
            clock=context.clock,
            logger=structlog.get_logger("weir.accountant"),
            settings=AccountantSettings(retention_s=min(kept_s[topic] for topic in BILLED_TOPICS)),
        )
        self._pruner = Pruner(
            engine,
            clock=context.clock,
            logger=structlog.get_logger("weir.retention"),
            settings=RetentionSettings(
                records_days=retention.records_days,
                dead_letters_days=retention.dead_letters_days,
            ),
            also=(dead_letters_of(retention.dead_letters_days),),
        )

    async def run_beside(
        self, collecting: Callable[[asyncio.Event], Awaitable[None]], stop: asyncio.Event
    ) -> None:
        """Run all three until ``stop`` is set and each has finished what it has in hand."""
        async with asyncio.TaskGroup() as jobs:
            books = [jobs.create_task(job(stop)) for job in (self._accountant.run, self._pruner.run)]
            await collecting(stop)
            await asyncio.gather(*books)

    @property
    def accountant(self) -> AccountantStatus:
        """What the accountant has done."""
        return self._accountant.status

    @property
    def removed(self) -> Mapping[str, int]:
        """Rows that retention removed since the start, by table."""
        return self._pruner.status.removed

    def report(self) -> dict[str, Any]:
        """What the jobs say of themselves, for the process's report to control."""
        return {"accountant": asdict(self._accountant.status), "retention": asdict(self._pruner.status)}
