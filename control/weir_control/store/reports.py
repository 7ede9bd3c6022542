"""The processes' reports in a Postgres, where each control process finds what another was told.

Ages are measured by the database's clock, so that it does not matter whose machine is how late.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
from sqlalchemy import BigInteger, cast, delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from weir_control.store.tables import worker_reports
from weir_control.workers import FORGOTTEN_AFTER_S, Report

_US: Final = 1_000_000
_COLUMNS: Final = worker_reports.c
_NOW: Final = cast(func.extract("epoch", func.clock_timestamp()) * _US, BigInteger)
_DECODER: Final = msgspec.json.Decoder(Report)


class Seen(NamedTuple):
    """A report, and how many seconds ago it came."""

    report: Report
    age_s: float


async def write_reports(engine: AsyncEngine, reports: Sequence[Report]) -> None:
    """Put reports in the place of the same processes' last ones, and forget what is too old.

    Raises:
        SQLAlchemyError, OSError: The database does not answer; nothing was written.
    """
    async with engine.begin() as connection:
        await connection.execute(
            delete(worker_reports).where(_COLUMNS.seen_at_us < _NOW - int(FORGOTTEN_AFTER_S * _US))
        )
        # In one order, or two writers could wait for each other.
        for report in sorted(reports, key=lambda one: (one.edge, one.role, one.worker)):
            fresh = {"report": msgspec.json.encode(report), "seen_at_us": _NOW}
            key = {"edge_id": report.edge, "role": report.role, "worker": report.worker}
            added = insert(worker_reports).values(**key, **fresh)
            await connection.execute(added.on_conflict_do_update(index_elements=list(key), set_=fresh))


async def read_reports(engine: AsyncEngine) -> list[Seen]:
    """The last report of every process; one of a version that we do not understand is left out.

    Raises:
        SQLAlchemyError, OSError: The database does not answer.
    """
    async with engine.connect() as connection:
        return await reports_in(connection)


async def reports_in(connection: AsyncConnection) -> list[Seen]:
    """The same over a connection that there is already; raises as ``read_reports``."""
    found = []
    for row in await connection.execute(select(_COLUMNS.report, _NOW - _COLUMNS.seen_at_us)):
        try:
            found.append(Seen(_DECODER.decode(row[0]), row[1] / _US))
        except (msgspec.DecodeError, msgspec.ValidationError):
            continue
    return found
