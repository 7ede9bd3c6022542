"""What only Postgres can show: records by the day, and several processes at work on the same rows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.collectors.conftest import rows, stored_ids
from tests.fakes.gateway_events import proxy_log, record

from weir_collectors.database import create_engine, reading, reason_of
from weir_collectors.days import DAY_US, Days
from weir_collectors.decoding import ReadEvent, read_event
from weir_collectors.erasing import Eraser
from weir_collectors.erasures import Scope, erasures_since
from weir_collectors.errors import DatabaseUnavailableError
from weir_collectors.kinds import EventKind
from weir_collectors.records import RecordStore
from weir_collectors.redrive_desk import RedriveDesk
from weir_collectors.retention import Pruner, RetentionSettings
from weir_collectors.tables import RECORDS
from weir_collectors.tables_dead_letters import dead_letters
from weir_core.clock import SystemClock, rfc3339
from weir_streams.events import encode

pytestmark = pytest.mark.system

PROXY_LOGS = RECORDS[EventKind.PROXY_LOG]
NOW_US = 20_000 * DAY_US + DAY_US // 2


class FixedClock(SystemClock):
    """Stands at noon of a day, and may be moved to another."""

    now_us = NOW_US

    def wall_us(self) -> int:
        return self.now_us


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
async def engine(migrated_postgres: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(migrated_postgres)
    yield engine
    await engine.dispose()


@pytest.fixture
def pruner(engine: AsyncEngine, clock: FixedClock, logger: Any) -> Pruner:
    return Pruner(engine, clock=clock, logger=logger, settings=RetentionSettings(pause_s=0.0))


def event(event_id: str, days_from_now: float = 0) -> ReadEvent:
    moment = rfc3339(NOW_US + int(days_from_now * DAY_US))
    return read_event(record(encode(proxy_log(event_id=event_id, timestamp=moment)).value))


async def keep(engine: AsyncEngine, *events: ReadEvent) -> int:
    return await RecordStore(engine).store(EventKind.PROXY_LOG, events)


async def places(engine: AsyncEngine) -> dict[str, str]:
    """The partition that each event is in."""
    found = text("SELECT event_id, tableoid::regclass::text AS place FROM records_proxy_logs")
    async with reading(engine) as connection:
        return {row.event_id: row.place for row in await connection.execute(found)}


async def test_events_of_every_age_are_kept_each_in_its_day_or_beside_all_days(engine: AsyncEngine) -> None:
    assert await Days(engine, PROXY_LOGS).make_ahead(NOW_US) == 9
    await keep(engine, event("old", -40), event("today"), event("next", 7), event("far", 400))
    assert await places(engine) == {
        "old": "records_proxy_logs_other",
        "today": "records_proxy_logs_20241004",
        "next": "records_proxy_logs_20241011",
        "far": "records_proxy_logs_other",
    }


async def test_an_event_that_comes_again_is_one_row_even_after_its_day_was_made(engine: AsyncEngine) -> None:
    assert await keep(engine, event("a"), event("b", 30)) == 2
    await Days(engine, PROXY_LOGS).make_ahead(NOW_US)
    assert await keep(engine, event("a"), event("b", 30), event("c")) == 1
    assert await stored_ids(engine, PROXY_LOGS) == ["a", "b", "c"]
    assert (await places(engine))["a"] == "records_proxy_logs_20241004"


async def test_several_processes_make_each_day_once_while_events_are_stored(engine: AsyncEngine) -> None:
    every_day = [event(f"{number}", number % 10 - 1) for number in range(300)]
    async with asyncio.TaskGroup() as tasks:
        for _ in range(3):
            tasks.create_task(Days(engine, PROXY_LOGS).make_ahead(NOW_US))
        for start in range(0, 300, 30):
            tasks.create_task(keep(engine, *every_day[start : start + 30]))
    assert sorted(await places(engine)) == sorted(item.event_id for item in every_day)
    assert await Days(engine, PROXY_LOGS).make_ahead(NOW_US) == 0


async def test_a_day_goes_whole_when_all_of_it_is_too_old(
    engine: AsyncEngine, pruner: Pruner, clock: FixedClock
) -> None:
    await pruner.sweep(asyncio.Event())
    await keep(engine, event("morning", -0.4), event("evening", 0.4), event("ancient", -500))
    clock.now_us = NOW_US + 90 * DAY_US
    assert await pruner.sweep(asyncio.Event()) == {"records_proxy_logs": 1}
    assert await stored_ids(engine, PROXY_LOGS) == ["morning", "evening"]
    clock.now_us += DAY_US
    await pruner.sweep(asyncio.Event())
    assert await stored_ids(engine, PROXY_LOGS) == []
    assert pruner.status.days["records_proxy_logs"] == 2


async def test_an_event_of_a_day_that_is_gone_is_taken_and_goes_with_the_next_sweep(
    engine: AsyncEngine, pruner: Pruner, clock: FixedClock
) -> None:
    await pruner.sweep(asyncio.Event())
    clock.now_us = NOW_US + 100 * DAY_US
    await pruner.sweep(asyncio.Event())
    assert await keep(engine, event("late")) == 1
    await pruner.sweep(asyncio.Event())
    assert await stored_ids(engine, PROXY_LOGS) == []


async def test_days_that_a_long_reader_holds_wait_for_the_next_sweep(
    engine: AsyncEngine, pruner: Pruner, clock: FixedClock
) -> None:
    await pruner.sweep(asyncio.Event())
    clock.now_us = NOW_US + 100 * DAY_US
    async with reading(engine) as connection:
        await connection.execute(select(PROXY_LOGS))
        with pytest.raises(DatabaseUnavailableError, match="lock timeout"):
            await pruner.sweep(asyncio.Event())
    await pruner.sweep(asyncio.Event())
    assert pruner.status.days["records_proxy_logs"] == 9


async def test_a_reader_sees_one_state_from_its_first_statement_to_its_last(engine: AsyncEngine) -> None:
    async with reading(engine) as connection:
        count = select(PROXY_LOGS.c.event_id)
        assert (await connection.execute(count)).all() == []
        await keep(engine, event("later"))
        assert (await connection.execute(count)).all() == []
    assert await stored_ids(engine, PROXY_LOGS) == ["later"]


async def test_an_erasure_begins_when_those_who_write_without_knowing_of_it_have_finished(
    engine: AsyncEngine, clock: FixedClock
) -> None:
    async with engine.begin() as writer:
        assert not await erasures_since(writer, [NOW_US])
        beginning = asyncio.create_task(Eraser(engine, clock).begin(Scope.USER, "ali"))
        await until_somebody_waits_for_a_lock(engine)
        assert not beginning.done()
    assert not (await beginning).resumed


async def test_two_processes_take_on_different_dead_letters(engine: AsyncEngine) -> None:
    letter = {"collector": "sink", "kind": "proxy-log", "reason": "away", "retryable": True, "tries": 1}
    letter |= {"failed_at_us": 1, "edge_namespace": "", "state": "requested"}
    async with engine.begin() as connection:
        ids = [{"event_id": f"e{number}", **letter} for number in range(40)]
        await connection.execute(insert(dead_letters), ids)
    desks = [RedriveDesk(engine, f"process {number}", SystemClock()) for number in range(4)]
    taken = await asyncio.gather(*(desk.take_letters("sink", 10) for desk in desks))
    assert [len(letters) for letters in taken] == [10] * 4
    assert len({letter["id"] for letters in taken for letter in letters}) == 40
    owners = {row.claimed_by for row in await rows(engine, dead_letters)}
    assert owners == {f"process {number}" for number in range(4)}


async def test_a_character_that_postgres_cannot_keep_holds_nothing_up(
    engine: AsyncEngine, clock: FixedClock
) -> None:
    odd = proxy_log(
        event_id="odd",
        timestamp=rfc3339(NOW_US),
        model_name="gpt\0",
        user_id="ali",
        request_body='{"a": "\0 and \\\\u0000"}',
    )
    assert await keep(engine, read_event(record(encode(odd).value)), event("even")) == 2
    found = {row.event_id: row for row in await rows(engine, PROXY_LOGS)}
    assert found["odd"].model == "gpt\ufffd"
    assert "\\u0000" in found["odd"].value
    eraser = Eraser(engine, clock)
    async for _ in eraser.run(await eraser.begin(Scope.USER, "ali")):
        pass
    erased = {row.event_id for row in await rows(engine, PROXY_LOGS) if '"erased":true' in row.value}
    assert erased == {"odd"}


async def test_what_the_database_says_of_a_row_that_it_refuses_has_nothing_of_the_row(
    engine: AsyncEngine,
) -> None:
    with pytest.raises(Exception, match="not-null") as caught:
        async with engine.begin() as connection:
            await connection.execute(insert(PROXY_LOGS).values(timestamp_us=1, value="a secret body"))
    assert "secret" not in reason_of(caught.value)


@pytest.mark.parametrize("query", ["sslmode=require", "sslmode=verify-full&sslrootcert=/none.pem"])
async def test_tls_that_is_asked_for_is_never_left_out(postgres_server: str, query: str) -> None:
    engine = create_engine(f"{postgres_server.replace('postgres@', 'postgres:hunter2@')}?{query}")
    with pytest.raises(Exception, match=r"SSL|none\.pem|No such file") as caught:
        async with engine.connect():
            pass
    assert "hunter2" not in f"{caught.value!r} {engine!r} {engine.url!r}"
    await engine.dispose()


async def test_a_session_can_be_set_by_the_address(postgres_server: str) -> None:
    engine = create_engine(f"{postgres_server}?application_name=gateway-7&lock_timeout=5s")
    async with engine.connect() as connection:
        for setting, value in {
            "application_name": "gateway-7",
            "lock_timeout": "5s",
            "timezone": "UTC",
        }.items():
            assert (await connection.execute(text(f"SHOW {setting}"))).scalar_one() == value
    await engine.dispose()


async def until_somebody_waits_for_a_lock(engine: AsyncEngine) -> None:
    waiting = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    async with asyncio.timeout(20), engine.connect() as connection:
        while not (await connection.execute(waiting)).scalar_one():
            await asyncio.sleep(0.01)
            await connection.rollback()
