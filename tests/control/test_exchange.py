"""What is reported to one control process is known to all, with its age, and forgotten in time."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.control.conftest import MovableClock

from weir_collectors.database import create_engine
from weir_control.exchange import ReportExchange
from weir_control.store.reports import read_reports
from weir_control.workers import PluginReport, Report, Workers

pytestmark = pytest.mark.system

PROXY = Report(worker="proxy-1", revision=3, edge_id="far away", plugins={7: PluginReport("ready")})


@pytest.fixture
async def engine(migrated_postgres: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(migrated_postgres)
    yield engine
    await engine.dispose()


async def age_by(engine: AsyncEngine, seconds: int) -> None:
    async with engine.begin() as connection:
        await connection.execute(text(f"UPDATE worker_reports SET seen_at_us = seen_at_us - {seconds}000000"))


async def test_a_report_to_one_is_known_to_the_other_with_its_age(engine: AsyncEngine) -> None:
    told, other = Workers(MovableClock()), Workers(MovableClock())
    told.record(PROXY)
    await ReportExchange(engine, told, "told").exchange()
    await age_by(engine, 5)
    await ReportExchange(engine, other, "other").exchange()
    [seen] = other.all()
    assert (seen.report, seen.stale) == (PROXY, False)
    await age_by(engine, 60)
    late = Workers(MovableClock())
    await ReportExchange(engine, late, "late").exchange()
    assert [worker.stale for worker in late.all()] == [True]


async def test_what_another_was_told_earlier_does_not_replace_the_last_word(engine: AsyncEngine) -> None:
    before, now = Workers(MovableClock()), Workers(MovableClock())
    before.record(PROXY)
    await ReportExchange(engine, before, "before").exchange()
    await age_by(engine, 5)
    newest = Report(worker="proxy-1", revision=4, edge_id="far away")
    now.record(newest)
    now.hear(PROXY, 5.0)
    assert [worker.report for worker in now.all()] == [newest]
    await ReportExchange(engine, now, "now").exchange()
    await ReportExchange(engine, before, "before").exchange()
    assert [worker.report.revision for worker in before.all()] == [4]


async def test_workers_of_one_name_at_gateways_without_one_are_told_apart(engine: AsyncEngine) -> None:
    here, there = Workers(MovableClock()), Workers(MovableClock())
    for workers, state in ((here, "ready"), (there, "failed")):
        workers.record(
            msgspec.convert({"worker": "p", "revision": 1, "plugins": {7: {"state": state}}}, Report)
        )
    for workers, place in ((here, "here"), (there, "there"), (here, "here")):
        await ReportExchange(engine, workers, place).exchange()
    states = {name: report.state for name, report in here.of_plugin(7, 1).items()}
    assert states == {"p": "ready", "there/p": "failed"}


async def test_what_nobody_repeats_is_forgotten_and_what_is_not_understood_is_left_out(
    engine: AsyncEngine,
) -> None:
    workers = Workers(MovableClock())
    workers.record(PROXY)
    await ReportExchange(engine, workers, "workers").exchange()
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO worker_reports SELECT 'x', role, worker, 'nonsense', seen_at_us FROM worker_reports"
            )
        )
    assert [seen.report for seen in await read_reports(engine)] == [PROXY]
    await age_by(engine, 3700)
    await ReportExchange(engine, workers, "workers").exchange()
    assert await read_reports(engine) == []
