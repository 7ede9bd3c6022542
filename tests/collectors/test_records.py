"""Writing: everything of a batch or nothing, and every event once."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.collectors.conftest import BOTH_DATABASES, only_sqlite, rows, stored_ids
from tests.fakes.gateway_events import analytics, budget_usage, proxy_log, record
from tests.streams.support import RecordingLogger, all_events, open_spool

from weir_collectors.dead_letters import DeadLetter
from weir_collectors.decoding import ReadEvent, read_event
from weir_collectors.errors import DatabaseUnavailableError
from weir_collectors.kinds import EventKind
from weir_collectors.records import RecordStore, UndecodableEvent, insert_new
from weir_collectors.tables import (
    RECORDS,
    metadata,
    records_analytics,
    records_proxy_logs,
    undecodable_events,
)
from weir_collectors.tables_dead_letters import dead_letters
from weir_core.clock import SystemClock
from weir_streams.events import Event, encode
from weir_streams.notices import SpooledNotices

DATABASES = BOTH_DATABASES


def read(*events: Event) -> Sequence[ReadEvent]:
    return [read_event(record(encode(event).value, offset)) for offset, event in enumerate(events)]


def letter(event: Event, collector: str, reason: str = "away") -> DeadLetter:
    (event_read,) = read(event)
    return DeadLetter(event_read, collector, EventKind.PROXY_LOG, reason, True, 3, 1)


@pytest.mark.parametrize(
    ("kind", "event"),
    [
        (EventKind.PROXY_LOG, proxy_log()),
        (EventKind.ANALYTICS, analytics()),
        (EventKind.BUDGET_USAGE, budget_usage()),
    ],
)
async def test_an_event_is_kept_whole_in_the_table_of_its_kind(
    store: RecordStore, engine: AsyncEngine, kind: EventKind, event: Event
) -> None:
    assert await store.store(kind, read(event)) == 1
    (row,) = await rows(engine, RECORDS[kind])
    assert row.value.encode() == encode(event).value
    assert (row.event_id, row.request_id, row.app_id, row.llm_id) == (event.event_id, event.request_id, 1, 2)


async def test_the_same_batch_again_changes_nothing(store: RecordStore, engine: AsyncEngine) -> None:
    events = read(proxy_log(), proxy_log())
    assert await store.store(EventKind.PROXY_LOG, events) == 2
    assert await store.store(EventKind.PROXY_LOG, events) == 0
    assert len(await rows(engine, records_proxy_logs)) == 2


async def test_an_event_that_is_twice_in_one_batch_is_kept_once(
    store: RecordStore, engine: AsyncEngine
) -> None:
    event = proxy_log()
    assert await store.store(EventKind.PROXY_LOG, read(event, event, proxy_log())) == 2
    assert len(await rows(engine, records_proxy_logs)) == 2


async def test_every_row_of_a_large_batch_is_written(store: RecordStore, engine: AsyncEngine) -> None:
    events = read(*(analytics() for _ in range(7001)))
    assert await store.store(EventKind.ANALYTICS, events) == 7001
    assert await stored_ids(engine, records_analytics) == [event.event_id for event in events]


async def test_a_dead_letter_is_kept_once_for_each_event_and_collector_with_the_whole_event(
    store: RecordStore, engine: AsyncEngine
) -> None:
    event = proxy_log(event_id="e", user_id="ali\x00ce")
    letters = [letter(event, "a"), letter(event, "b")]
    await store.store(EventKind.PROXY_LOG, read(event), letters)
    await store.store(EventKind.PROXY_LOG, read(event), [letter(event, "a", "away again")])
    kept = await rows(engine, dead_letters)
    assert [(row.event_id, row.collector, row.reason) for row in kept] == [
        ("e", "a", "away"),
        ("e", "b", "away"),
    ]
    assert (kept[0].kind, kept[0].tries, kept[0].failed_at_us) == ("proxy-log", 3, 1)
    assert (kept[0].state, kept[0].retryable, kept[0].user_id) == ("failed", True, "ali\ufffdce")
    assert kept[0].value.encode() == encode(event).value


async def test_what_is_not_an_event_is_kept_as_it_came(store: RecordStore, engine: AsyncEngine) -> None:
    poison = UndecodableEvent(record(b"\xff\x00 not json", 9), "it is not an event", 5)
    for _ in range(2):
        await store.store(EventKind.PROXY_LOG, [], undecodable=[poison])
    (row,) = await rows(engine, undecodable_events)
    assert (row.topic, row.partition, row.offset) == ("weir.proxy-log.v1", "spool", 9)
    assert (row.key, row.value, row.error, row.failed_at_us) == (
        b"1",
        b"\xff\x00 not json",
        "it is not an event",
        5,
    )


@only_sqlite
async def test_nothing_is_written_when_a_part_of_it_cannot_be(
    store: RecordStore, engine: AsyncEngine
) -> None:
    async with engine.begin() as connection:
        await connection.run_sync(dead_letters.drop)
    with pytest.raises(DatabaseUnavailableError):
        await store.store(EventKind.PROXY_LOG, read(proxy_log()), [letter(proxy_log(), "a")])
    assert await rows(engine, records_proxy_logs) == []


@only_sqlite
async def test_a_database_without_tables_is_a_retryable_error(
    store: RecordStore, engine: AsyncEngine
) -> None:
    async with engine.begin() as connection:
        await connection.run_sync(metadata.drop_all)
    with pytest.raises(DatabaseUnavailableError, match="no such table") as caught:
        await store.store(EventKind.PROXY_LOG, read(proxy_log()))
    assert caught.value.retryable


@only_sqlite
async def test_an_error_does_not_carry_what_was_to_be_written(
    store: RecordStore, engine: AsyncEngine
) -> None:
    async with engine.begin() as connection:
        await connection.run_sync(metadata.drop_all)
    events = read(proxy_log(model_name="my-medical-model"))
    with pytest.raises(DatabaseUnavailableError) as caught:
        await store.store(EventKind.PROXY_LOG, events)
    assert "medical" not in "".join(traceback.format_exception(caught.value))


async def test_writers_side_by_side_wait_for_each_other(engine: AsyncEngine) -> None:
    batches = [read(*(proxy_log() for _ in range(50))) for _ in range(8)]
    new = await asyncio.gather(*(RecordStore(engine).store(EventKind.PROXY_LOG, batch) for batch in batches))
    assert new == [50] * 8
    assert len(await rows(engine, records_proxy_logs)) == 400


def test_postgres_skips_known_rows_too() -> None:
    statement = insert_new(records_proxy_logs, "postgresql")
    sql = str(statement.compile(dialect=postgresql.dialect()))
    assert "ON CONFLICT DO NOTHING RETURNING records_proxy_logs.id" in sql


@only_sqlite
async def test_of_a_dead_letter_that_is_kept_there_is_a_notice_and_of_others_none(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    with closing(open_spool(tmp_path)) as spool:
        store = RecordStore(engine, SpooledNotices(spool, SystemClock(), RecordingLogger()))
        kept, lost = proxy_log(), proxy_log()
        await store.store(EventKind.PROXY_LOG, read(kept), [letter(kept, "sink", "full")])
        async with engine.begin() as connection:
            await connection.run_sync(dead_letters.drop)
        with pytest.raises(DatabaseUnavailableError):
            await store.store(EventKind.PROXY_LOG, read(lost), [letter(lost, "sink")])
    [notice] = all_events(tmp_path)
    assert (notice["event_id"], notice["collector"], notice["reason"]) == (kept.event_id, "sink", "full")
    assert (notice["topic"], notice["partition"], notice["offset"]) == ("weir.proxy-log.v1", "spool", 0)
