"""Lets every control process of an installation know what was reported to any of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from weir_control.store.reports import read_reports, write_reports
from weir_control.workers import Report, Workers

_log = structlog.get_logger("weir.control")

_EVERY_S: Final = 2.0


class ReportExchange:
    """Writes this process's news into the shared database and reads the others'.

    Args:
        engine: Over a migrated Postgres.
        workers: What this process was told; gets what the others were told.
        place: Names this process among the others.
        sleep: Waits between two rounds; a test may take its place.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        workers: Workers,
        place: str,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._engine = engine
        self._workers = workers
        self._place = place
        self._sleep = sleep

    async def run(self) -> None:
        """Exchange every two seconds until cancelled."""
        while True:
            try:
                await self.exchange()
            except (SQLAlchemyError, OSError) as error:
                _log.warning("reports cannot be exchanged now", error=type(error).__name__)
            await self._sleep(_EVERY_S)

    async def exchange(self) -> None:
        """Do it once.

        Raises:
            SQLAlchemyError, OSError: The database does not answer; what is missing comes with later reports.
        """
        await write_reports(self._engine, [self._placed(one) for one in self._workers.take_news()])
        for seen in await read_reports(self._engine):
            if seen.report.place != self._place:
                self._workers.hear(seen.report, seen.age_s)

    def _placed(self, report: Report) -> Report:
        # Gateways without an edge_id have workers of the same names.
        return report if report.edge_id else msgspec.structs.replace(report, place=self._place)
