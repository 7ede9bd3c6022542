"""Every event once into the sums, whatever the log and the database do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from sqlalchemy import delete, insert, select, text
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import CapturingLogger
from tests.collectors.conftest import BOTH_DATABASES
from tests.fakes.event_log import FakeLog
from tests.fakes.gateway_events import MOMENT_US, analytics, budget_usage

from weir_collectors.accountant import Accountant, AccountantSettings
from weir_collectors.backoff import Backoff
from weir_collectors.book import Book
from weir_collectors.errors import DatabaseUnavailableError
from weir_collectors.kinds import ACCOUNTANT_GROUP
from weir_collectors.restarting import RestartSettings
from weir_collectors.tables_accounting import (
    accountant_marks,
    accountant_members,
    accountant_offsets,
    budget_spend,
    rollups_hourly,
)
from weir_core.clock import SystemClock, rfc3339
from weir_streams.errors import LogUnavailableError
from weir_streams.events import ANALYTICS_TOPIC, BUDGET_USAGE_TOPIC, Attempt, Event
from weir_streams.log import Partition

DATABASES = BOTH_DATABASES

SETTINGS = AccountantSettings(
    gather_s=0.0,
    commit_every_s=0.0,
    sign_every_s=0.0,
    lag_every_s=0.01,
    restart=RestartSettings(backoff=Backoff(first_s=0.001, longest_s=0.01)),
)
USAGE = Partition(ANALYTICS_TOPIC, "spool")

Add = Callable[[], Any]


def numbered(event: Event, seq: int, spool: str = "aaaaaaaaaaaa") -> Any:
    """The event as a spool wrote it."""
    event.spool_id, event.spool_seq = spool, seq
    return event


@pytest.fixture
async def add(log: FakeLog, engine: AsyncEngine, logger: Any) -> Add:
    """Runs an accountant until all that is in the log is in the sums, and returns it."""

    async def run(**changes: Any) -> Accountant:
        parts: dict[str, Any] = {"log": log, "book": Book(engine, "tests")} | changes
        accountant = Accountant(**parts, clock=SystemClock(), logger=logger, settings=SETTINGS)
        stop = asyncio.Event()
        running = asyncio.create_task(accountant.run(stop))
        try:
            for partition, records in list(log.records.items()):
                await log.until_committed(ACCOUNTANT_GROUP, partition, len(records))
        finally:
            stop.set()
            await running
        return accountant

    return run


async def sums(engine: AsyncEngine, *names: str) -> tuple[int, ...]:
    """Columns of the rollups, added up over all rows."""
    async with engine.connect() as connection:
        rows = (await connection.execute(select(rollups_hourly))).mappings().all()
    return tuple(sum(row[name] for row in rows) for name in names)


async def test_usage_and_spend_are_added_up(log: FakeLog, engine: AsyncEngine, add: Add) -> None:
    log.append(
        analytics(cost="1.000000001", prompt_tokens=3, usage_source="provider"),
        analytics(cost="2", prompt_tokens=4, usage_source="estimated"),
        budget_usage(cost="3", tokens_used=7, requests_count=1, period_id="2027-01"),
    )
    await add()
    assert await sums(engine, "requests", "cost_nano", "prompt_tokens") == (2, 3 * 10**9 + 1, 7)
    assert await sums(engine, "usage_provider", "usage_estimated", "usage_none") == (1, 1, 0)
    async with engine.connect() as connection:
        [row] = (await connection.execute(select(budget_spend))).mappings().all()
    assert (row["period_id"], row["cost_nano"], row["tokens_used"]) == ("2027-01", 3 * 10**9, 7)


async def test_what_a_relay_sends_twice_is_added_once(log: FakeLog, engine: AsyncEngine, add: Add) -> None:
    first, second, third = (numbered(analytics(cost="1"), seq) for seq in (2, 5, 8))
    log.append(first, second, first, second, third, third)
    accountant = await add()
    assert await sums(engine, "requests", "cost_nano") == (3, 3 * 10**9)
    assert accountant.status.repeated == 3


async def test_spools_have_marks_of_their_own(log: FakeLog, engine: AsyncEngine, add: Add) -> None:
    log.append(numbered(analytics(), 9, "aaaaaaaaaaaa"), numbered(analytics(), 2, "bbbbbbbbbbbb"))
    await add()
    assert await sums(engine, "requests") == (2,)


@pytest.mark.parametrize("lost", ["log", "database", "both"])
async def test_offsets_that_are_lost_add_nothing_twice(
    log: FakeLog, engine: AsyncEngine, add: Add, lost: str
) -> None:
    log.append(*(numbered(analytics(), seq) for seq in range(1, 6)), analytics())
    await add()
    if lost != "database":
        log.committed.clear()
    if lost != "log":
        async with engine.begin() as connection:
            await connection.execute(delete(accountant_offsets))
    log.append(numbered(analytics(), 6))
    await add()
    assert await sums(engine, "requests") == (7,)


async def test_the_databases_offsets_count_where_the_logs_are_ahead(
    log: FakeLog, engine: AsyncEngine, add: Add
) -> None:
    log.append(*(numbered(analytics(), seq) for seq in range(1, 6)))
    log.committed[ACCOUNTANT_GROUP, USAGE] = 4
    await add()
    assert await sums(engine, "requests") == (5,)


async def test_what_is_no_event_is_counted_and_passed(log: FakeLog, engine: AsyncEngine, add: Add) -> None:
    log.append(analytics())
    for value in (
        b"not JSON",
        b"{}",
        b'{"timestamp": "yesterday"}',
        b'{"timestamp": "2027-01-01T00:00:00Z", "cost": "a lot"}',
        b'{"timestamp": "2027-01-01T00:00:00Z", "cost": "NaN"}',
        b'{"timestamp": "2027-01-01T00:00:00Z", "cost": "1e300"}',
        b'{"timestamp": "2027-01-01T00:00:00Z", "prompt_tokens": 9223372036854775807}',
        b"[" * 100_000,
    ):
        log.append_raw(ANALYTICS_TOPIC, value)
    log.append(analytics())
    accountant = await add()
    assert await sums(engine, "requests") == (2,)
    assert accountant.status.undecodable == 8
    async with engine.connect() as connection:
        assert (await connection.execute(select(accountant_offsets.c.undecodable))).scalars().all() == [8]


async def test_an_unknown_price_is_a_hole_that_the_sum_tells_of(
    log: FakeLog, engine: AsyncEngine, add: Add
) -> None:
    log.append(analytics(cost=None), analytics(cost="0"), analytics(cost="1"))
    await add()
    assert await sums(engine, "cost_nano", "unknown_prices") == (10**9, 1)


async def test_requests_that_were_not_served_are_errors_of_their_outcome(
    log: FakeLog, engine: AsyncEngine, add: Add
) -> None:
    outcomes = ("served", "client_aborted", "client_aborted", "gateway_error", "upstream_error", "blocked")
    log.append(*(analytics(outcome=outcome) for outcome in outcomes))
    await add()
    columns = ("requests", "errors", "client_aborted", "gateway_error", "upstream_error", "blocked")
    assert await sums(engine, *columns) == (6, 5, 2, 1, 1, 1)


async def test_without_an_outcome_a_failed_last_attempt_is_an_error(
    log: FakeLog, engine: AsyncEngine, add: Add
) -> None:
    failed, refused = Attempt(llm_id=1, error="no route"), Attempt(llm_id=1, status=503)
    served = Attempt(llm_id=1, status=200)
    log.append(analytics(attempts=[failed]), analytics(attempts=[served, refused]))
    log.append(analytics(attempts=[refused, served]), analytics())
    await add()
    assert await sums(engine, "requests", "errors", "upstream_error") == (4, 2, 2)


async def test_a_correction_changes_sums_and_is_no_request(
    log: FakeLog, engine: AsyncEngine, add: Add
) -> None:
    log.append(analytics(cost="5", prompt_tokens=100))
    correction = b'{"timestamp": "%s", "corrects": "a", "cost": "-1.5", "prompt_tokens": -30, "app_id": 1, "llm_id": 2}'
    log.append_raw(ANALYTICS_TOPIC, correction % rfc3339(MOMENT_US).encode())
    await add()
    assert await sums(engine, "requests", "corrections") == (1, 1)
    assert await sums(engine, "cost_nano", "prompt_tokens") == (3_500_000_000, 70)


async def test_sums_are_kept_by_the_hour_of_the_request(log: FakeLog, engine: AsyncEngine, add: Add) -> None:
    log.append(
        analytics(timestamp="2026-08-01T12:59:59.999999Z"), analytics(timestamp="2026-08-01T15:00:00+02:00")
    )
    await add()
    async with engine.connect() as connection:
        hours = (await connection.execute(select(rollups_hourly.c.hour))).scalars().all()
    assert [rfc3339(hour * 3_600_000_000)[:13] for hour in hours] == ["2026-08-01T12", "2026-08-01T13"]


async def test_names_of_any_length_and_kind_can_be_kept(log: FakeLog, engine: AsyncEngine, add: Add) -> None:
    log.append(analytics(user_id="\x00" + "\U0001f600" * 5000, model_name="m" * 10**5, vendor="v" * 10**4))
    await add()
    async with engine.connect() as connection:
        [row] = (await connection.execute(select(rollups_hourly))).mappings().all()
    assert "\x00" not in row["user_id"]
    assert len(row["user_id"].encode()) + len(row["model"]) + len(row["vendor"]) < 2000


async def test_it_waits_for_a_database_that_is_away(log: FakeLog, engine: AsyncEngine, add: Add) -> None:
    log.append(*(numbered(analytics(), seq) for seq in range(1, 4)))
    async with engine.begin() as connection:
        await connection.execute(text("ALTER TABLE rollups_hourly RENAME TO elsewhere"))
    adding = asyncio.create_task(add())
    while not log.open_consumers:
        await asyncio.sleep(0)
    async with engine.begin() as connection:
        await connection.execute(text("ALTER TABLE elsewhere RENAME TO rollups_hourly"))
    await adding
    assert await sums(engine, "requests") == (3,)


async def test_it_joins_again_when_the_log_fails(log: FakeLog, engine: AsyncEngine, add: Add) -> None:
    log.append(numbered(analytics(), 1))
    log.polls_to_fail = [LogUnavailableError("away"), LogUnavailableError("away")]
    accountant = await add()
    assert await sums(engine, "requests") == (1,)
    assert accountant.status.restarts == 2
    assert log.open_consumers == 0


async def test_a_commit_that_the_log_refuses_adds_nothing_twice(
    log: FakeLog, engine: AsyncEngine, add: Add
) -> None:
    class Growing(Book):
        """Another event comes with each batch."""

        async def add(self, *arguments: Any) -> None:
            await super().add(*arguments)
            if len(log.records[USAGE]) < 3:
                log.append(numbered(analytics(), 1 + len(log.records[USAGE])))

    log.append(numbered(analytics(), 1))
    log.commits_to_fail = [LogUnavailableError("away"), LogUnavailableError("away")]
    adding = asyncio.create_task(add(book=Growing(engine, "tests")))
    await log.until_committed(ACCOUNTANT_GROUP, USAGE, 3)
    accountant = await adding
    assert await sums(engine, "requests") == (3,)
    assert accountant.status.restarts == 2


async def test_two_accountants_of_the_same_partition_add_nothing_twice(
    log: FakeLog, engine: AsyncEngine, add: Add
) -> None:
    log.append(*(numbered(analytics(), seq) for seq in range(1, 200)))
    log.append(*(numbered(budget_usage(), seq) for seq in range(1, 200)))
    await asyncio.gather(*(add(book=Book(engine, f"member {number}")) for number in range(3)))
    assert await sums(engine, "requests") == (199,)


async def test_a_mark_that_another_moved_ends_the_batch_and_not_the_accountant(
    log: FakeLog, engine: AsyncEngine, add: Add
) -> None:
    class Overtaken(Book):
        """Another accountant adds the first event just before this one does."""

        done = False

        async def add(self, *arguments: Any) -> None:
            if not self.done:
                self.done = True
                row = {"topic": ANALYTICS_TOPIC, "partition": "spool", "spool_id": "a" * 12, "spool_seq": 1}
                async with engine.begin() as connection:
                    await connection.execute(insert(accountant_marks).values(row))
            await super().add(*arguments)

    log.append(numbered(analytics(), 1), numbered(analytics(), 2))
    accountant = await add(book=Overtaken(engine, "tests"))
    assert await sums(engine, "requests") == (1,)
    assert accountant.status.restarts == 1


async def test_it_says_up_to_which_moment_everything_is_in_the_sums(
    log: FakeLog, engine: AsyncEngine, add: Add
) -> None:
    before = SystemClock().wall_us() - 1_000_000
    log.append(analytics(), partition="spool")
    log.append_raw(BUDGET_USAGE_TOPIC, b"no event")
    accountant = await add()
    while accountant.status.as_of_us is None:
        accountant = await add()
    async with engine.connect() as connection:
        [row] = (await connection.execute(select(accountant_members))).mappings().all()
    assert row["member"] == "tests"
    assert before < row["as_of_us"] <= row["seen_us"] <= SystemClock().wall_us()


async def test_it_is_late_while_the_sums_are_older_than_half_of_what_the_log_keeps(
    log: FakeLog, engine: AsyncEngine
) -> None:
    class Refusing(Book):
        """Takes nothing until it is told to."""

        taking = asyncio.Event()

        async def add(self, *args: Any, **named: Any) -> None:
            if not self.taking.is_set():
                raise DatabaseUnavailableError("away")
            await super().add(*args, **named)

    now_us = SystemClock().wall_us()
    signed = {"member": "before", "as_of_us": now_us - 3600 * 1_000_000, "seen_us": now_us}
    async with engine.begin() as connection:
        await connection.execute(insert(accountant_members).values(signed))
    log.append(analytics())
    logger, book = CapturingLogger(), Refusing(engine, "before")
    accountant = Accountant(
        log,
        book,
        clock=SystemClock(),
        logger=logger,
        settings=msgspec.structs.replace(SETTINGS, retention_s=3600.0),
    )
    stop = asyncio.Event()
    running = asyncio.create_task(accountant.run(stop))
    while not accountant.status.restarts:
        await asyncio.sleep(0.001)
    assert accountant.status.late
    assert accountant.status.lag_s >= 3600
    book.taking.set()
    while accountant.status.late:
        await asyncio.sleep(0.001)
    stop.set()
    await running
    said = [call.args[0] for call in logger.calls]
    assert (said.count("group late"), said.count("group in time again")) == (1, 1)
