"""What is too old goes, in small transactions; what is not stays."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.collectors.conftest import BOTH_DATABASES, rows

from weir_collectors.kinds import EventKind
from weir_collectors.retention import Pruner, RetentionSettings
from weir_collectors.tables import RECORDS, undecodable_events
from weir_collectors.tables_dead_letters import dead_letter_ranges, dead_letters
from weir_core.clock import SystemClock

DATABASES = BOTH_DATABASES

DAY_US = 86_400_000_000
PROXY_LOGS = RECORDS[EventKind.PROXY_LOG]


def days_ago(days: float) -> int:
    return SystemClock().wall_us() - int(days * DAY_US)


async def store_records(engine: AsyncEngine, *ages: float) -> None:
    """Records of so many days of age."""
    async with engine.begin() as connection:
        for number, age in enumerate(ages):
            row = {"event_id": f"e{number}", "request_id": "r", "timestamp_us": days_ago(age), "value": "{}"}
            await connection.execute(insert(PROXY_LOGS).values(row))


async def store_letter(engine: AsyncEngine, age: float, state: str = "failed", **columns: Any) -> None:
    row: dict[str, Any] = {
        "event_id": f"{age}-{state}",
        "collector": "sink",
        "kind": "proxy-log",
        "reason": "away",
        "retryable": True,
        "tries": 3,
        "failed_at_us": days_ago(age),
        "edge_namespace": "",
        "state": state,
    }
    async with engine.begin() as connection:
        await connection.execute(insert(dead_letters).values(row | columns))


async def store_range(engine: AsyncEngine, closed: float | None, state: str, **columns: int) -> None:
    numbers = ("first_offset", "last_offset", "events", "first_timestamp_us", "last_timestamp_us")
    row: dict[str, Any] = dict.fromkeys((*numbers, "next_offset", "redriven", "failed", "missing"), 0)
    row |= {"collector": "sink", "kind": "proxy-log", "topic": "t", "partition": "p", "reason": "away"}
    row |= {
        "opened_at_us": days_ago(30),
        "closed_at_us": closed and days_ago(closed),
        "state": state,
    }
    async with engine.begin() as connection:
        await connection.execute(insert(dead_letter_ranges).values(row | columns))


@pytest.fixture
def pruner(engine: AsyncEngine, logger: Any) -> Pruner:
    settings = RetentionSettings(first_rows=2, pause_s=0.0)
    return Pruner(engine, clock=SystemClock(), logger=logger, settings=settings)


async def test_records_go_after_their_days_and_no_sooner(engine: AsyncEngine, pruner: Pruner) -> None:
    await store_records(engine, 200, 90.01, 89.99, 0)
    assert await pruner.sweep(asyncio.Event()) == {"records_proxy_logs": 2}
    assert [row.event_id for row in await rows(engine, PROXY_LOGS)] == ["e2", "e3"]


async def test_a_sweep_removes_everything_however_small_its_transactions_are(
    engine: AsyncEngine, pruner: Pruner
) -> None:
    await store_records(engine, *[100] * 25, 1)
    await pruner.sweep(asyncio.Event())
    assert len(await rows(engine, PROXY_LOGS)) == 1
    assert pruner.status.removed == {"records_proxy_logs": 25}


async def test_a_sweep_that_was_stopped_is_finished_by_the_next(engine: AsyncEngine, logger: Any) -> None:
    await store_records(engine, *[100] * 5)
    stop = asyncio.Event()

    async def stop_after_the_first(_seconds: float) -> None:
        stop.set()

    settings = RetentionSettings(first_rows=2)
    pruner = Pruner(engine, clock=SystemClock(), logger=logger, settings=settings, sleep=stop_after_the_first)
    await pruner.sweep(stop)
    assert len(await rows(engine, PROXY_LOGS)) == 3
    again = Pruner(engine, clock=SystemClock(), logger=logger, settings=RetentionSettings(pause_s=0.0))
    await again.sweep(asyncio.Event())
    assert await rows(engine, PROXY_LOGS) == []


async def test_dead_letters_go_earlier_but_not_while_a_redrive_is_asked_for(
    engine: AsyncEngine, pruner: Pruner
) -> None:
    await store_letter(engine, 15)
    await store_letter(engine, 15, "requested")
    await store_letter(engine, 15, "redriven")
    await store_letter(engine, 13)
    await pruner.sweep(asyncio.Event())
    assert [row.event_id for row in await rows(engine, dead_letters)] == ["15-requested", "13-failed"]


async def test_what_nobody_has_redriven_goes_as_long_after_it_was_asked_for(
    engine: AsyncEngine, pruner: Pruner
) -> None:
    for age in (15, 13):
        asked = days_ago(age)
        await store_letter(engine, 40, "requested", requested_at_us=asked, event_id=f"e{age}")
        await store_range(engine, 40, "requested", requested_at_us=asked)
    await pruner.sweep(asyncio.Event())
    for table in (dead_letters, dead_letter_ranges):
        [left] = await rows(engine, table)
        assert left.requested_at_us > days_ago(14)


async def test_a_range_goes_when_it_has_been_closed_for_long(engine: AsyncEngine, pruner: Pruner) -> None:
    await store_range(engine, 15, "closed")
    await store_range(engine, 15, "redriven")
    await store_range(engine, 15, "requested")
    await store_range(engine, 13, "closed")
    await store_range(engine, None, "open")
    await pruner.sweep(asyncio.Event())
    assert [row.state for row in await rows(engine, dead_letter_ranges)] == ["requested", "closed", "open"]


async def test_undecodable_events_are_kept_as_long_as_records(engine: AsyncEngine, pruner: Pruner) -> None:
    async with engine.begin() as connection:
        for age in (91, 15):
            row = {"topic": "t", "partition": "p", "offset": age, "key": b"", "value": b"", "error": "no"}
            await connection.execute(insert(undecodable_events).values(failed_at_us=days_ago(age), **row))
    await pruner.sweep(asyncio.Event())
    assert [row.offset for row in await rows(engine, undecodable_events)] == [15]


async def test_the_next_transaction_is_smaller_after_a_long_one_and_larger_after_a_short_one(
    engine: AsyncEngine, logger: Any
) -> None:
    class SlowClock(SystemClock):
        """Every look at it is a second later."""

        now_s = 0.0

        def monotonic(self) -> float:
            self.now_s += self.step_s
            return self.now_s

        step_s = 1.0

    clock = SlowClock()
    await store_records(engine, *[100] * 30)
    before: list[int] = []

    async def count_and_hurry(_seconds: float) -> None:
        before.append(len(await rows(engine, PROXY_LOGS)))
        if len(before) == 2:
            clock.step_s = 0.0

    settings = RetentionSettings(first_rows=8)
    pruner = Pruner(engine, clock=clock, logger=logger, settings=settings, sleep=count_and_hurry)
    await pruner.sweep(asyncio.Event())
    assert before == [22, 18, 16, 12, 4, 0]
    assert pruner.status.longest_s == 1.0
