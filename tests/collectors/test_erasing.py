"""What was asked and who asked it goes; what happened and what it cost stays."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import aclosing
from typing import Any

import msgspec
import pytest
from sqlalchemy import event as events
from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.collectors.conftest import BOTH_DATABASES, Start, rows
from tests.fakes.event_log import FakeLog
from tests.fakes.gateway_events import MOMENT_US, analytics, budget_usage, plugin, proxy_log, record
from tests.fakes.plugin_host import FakeFeed, FakeHost

from weir_collectors.book import Book
from weir_collectors.dead_letters import DeadLetter
from weir_collectors.decoding import ReadEvent, read_event
from weir_collectors.erasing import Eraser
from weir_collectors.erasures import Scope
from weir_collectors.errors import DatabaseUnavailableError
from weir_collectors.kinds import EventKind
from weir_collectors.records import RecordStore, UndecodableEvent
from weir_collectors.redrive_requests import request_collector
from weir_collectors.tables import RECORDS, undecodable_events
from weir_collectors.tables_accounting import rollups_hourly
from weir_collectors.tables_dead_letters import dead_letter_ranges, dead_letters
from weir_collectors.tables_erasing import erasures
from weir_core.clock import SystemClock, rfc3339
from weir_sdk import DataCollectionResponse
from weir_streams.billed import Batch
from weir_streams.events import Attempt, Event, encode
from weir_streams.log import LogRecord, Partition

DATABASES = BOTH_DATABASES

PROXY_LOGS = RECORDS[EventKind.PROXY_LOG]
SECRETS = ("lovelace", "a secret", "a reply", "client-1", "trace-1", "tag", "c0ffee", "upstream-1", "quoted")


class FixedClock(SystemClock):
    """It is a day after the events' moment."""

    now_us = MOMENT_US + 86_400_000_000

    def wall_us(self) -> int:
        return self.now_us


def telling(**changes: Any) -> Any:
    """A proxy log with everything that can say who it was or what was said."""
    fields: dict[str, Any] = {
        "user_id": "lovelace",
        "credential_id": 77_777,
        "client_request_id": "client-1",
        "trace_id": "trace-1",
        "request_body": "a secret",
        "response_body": "a reply",
        "request_body_sha256": "c0ffee",
        "metadata": {"tag": "tag"},
        "attempts": [Attempt(llm_id=2, status=200, upstream_request_id="upstream-1", error="quoted")],
    }
    return proxy_log(**(fields | changes))


def as_read(event: Event) -> ReadEvent:
    encoded = encode(event)
    return read_event(record(encoded.value, topic=encoded.topic))


async def erase(engine: AsyncEngine, scope: Scope, subject: str) -> None:
    eraser = Eraser(engine, FixedClock())
    run = await eraser.begin(scope, subject)
    async with aclosing(eraser.run(run)) as progress:
        async for _ in progress:
            pass


async def everything(engine: AsyncEngine) -> str:
    """Every row of every table that holds something of events, as text."""
    async with engine.connect() as connection:
        tables = (*RECORDS.values(), dead_letters, undecodable_events, rollups_hourly, erasures)
        return str([(await connection.execute(select(table))).all() for table in tables])


def letter(event: ReadEvent) -> DeadLetter:
    return DeadLetter(event, "sink", EventKind.PROXY_LOG, "quoted: a secret", True, 3, MOMENT_US)


@pytest.mark.parametrize(("scope", "subject"), [(Scope.APP, "1"), (Scope.USER, "lovelace")])
async def test_nothing_of_the_erased_is_left_in_any_table(
    engine: AsyncEngine, store: RecordStore, scope: Scope, subject: str
) -> None:
    event = as_read(telling())
    await store.store(EventKind.PROXY_LOG, [event], [letter(event)])
    await store.store(EventKind.ANALYTICS, [as_read(analytics(user_id="lovelace", trace_id="trace-1"))])
    await store.store(EventKind.BUDGET_USAGE, [as_read(budget_usage(user_id="lovelace"))])
    await add_up(engine, analytics(user_id="lovelace", cost="1.5"))
    assert "a secret" in await everything(engine)
    await erase(engine, scope, subject)
    left = await everything(engine)
    assert [secret for secret in SECRETS if secret in left] == []
    assert "77777" not in left


async def test_what_happened_and_what_it_cost_stays(engine: AsyncEngine, store: RecordStore) -> None:
    log = telling(response_code=429, outcome="upstream_error", request_bytes=123)
    bill = analytics(user_id="lovelace", prompt_tokens=7, cost="0.25", usage_source="provider")
    await store.store(EventKind.PROXY_LOG, [as_read(log)])
    await store.store(EventKind.ANALYTICS, [as_read(bill)])
    await erase(engine, Scope.USER, "lovelace")
    [row] = await rows(engine, PROXY_LOGS)
    value = msgspec.json.decode(row.value)
    assert (row.event_id, row.request_id, row.app_id, row.status) == (log.event_id, log.request_id, 1, 429)
    assert (value["outcome"], value["request_bytes"], value["path"]) == ("upstream_error", 123, log.path)
    assert value["erased"] is True
    assert value["attempts"][0]["status"] == 200
    [row] = await rows(engine, RECORDS[EventKind.ANALYTICS])
    value = msgspec.json.decode(row.value)
    assert (value["prompt_tokens"], value["cost"], value["usage_source"]) == (7, "0.25", "provider")


async def test_an_erased_record_can_still_be_read_as_its_event(
    engine: AsyncEngine, store: RecordStore
) -> None:
    await store.store(EventKind.PROXY_LOG, [as_read(telling())])
    await erase(engine, Scope.APP, "1")
    [row] = await rows(engine, PROXY_LOGS)
    assert read_event(record(row.value.encode())).user_id is None


async def test_others_are_left_alone(engine: AsyncEngine, store: RecordStore) -> None:
    others = [as_read(telling(app_id=2, user_id="lovelace-2")), as_read(telling(app_id=11, user_id=None))]
    young = as_read(telling(timestamp=rfc3339(FixedClock.now_us + 1)))
    await store.store(EventKind.PROXY_LOG, [*others, young])
    before = await rows(engine, PROXY_LOGS)
    await erase(engine, Scope.USER, "lovelace")
    await erase(engine, Scope.APP, "1")
    assert await rows(engine, PROXY_LOGS) == before


async def test_an_event_that_is_stored_later_is_erased_on_its_way(
    engine: AsyncEngine, store: RecordStore
) -> None:
    await erase(engine, Scope.USER, "lovelace")
    late = as_read(telling())
    await store.store(EventKind.PROXY_LOG, [late, as_read(telling(user_id="grace"))], [letter(late)])
    erased, kept = await rows(engine, PROXY_LOGS)
    assert "a secret" not in erased.value
    assert "a secret" in kept.value
    [dead] = await rows(engine, dead_letters)
    assert (dead.user_id, dead.reason) == (None, "erased")
    assert "a secret" not in dead.value


async def test_a_redrive_of_a_range_shows_nothing_of_the_erased(
    start: Start, log: FakeLog, feed: FakeFeed, host: FakeHost, engine: AsyncEngine
) -> None:
    shown: list[Any] = []
    away = True

    async def take(message: Any) -> DataCollectionResponse:
        if away:
            raise ConnectionError("the sink is away")
        shown.append(message)
        return DataCollectionResponse(handled=True)

    host.put(proxy_log=take)
    log.append(*(telling() for _ in range(200)))
    feed.publish(1, [plugin()])
    start()
    await log.until_all_committed()
    await erase(engine, Scope.USER, "lovelace")
    away = False
    async with engine.begin() as connection:
        await request_collector(connection, "sink", FixedClock.now_us)
    while any(row.state == "requested" for row in await rows(engine, dead_letter_ranges)):
        await asyncio.sleep(0.005)
    assert shown
    assert {(log.user_id, log.request_body, log.credential_id) for log in shown} == {(None, None, None)}


async def add_up(engine: AsyncEngine, *billed: Event) -> None:
    book = Book(engine, "tests")
    place = await book.place()
    batch = Batch(place.marks)
    for event in billed:
        encoded = encode(event)
        number = 1 + max(place.offsets.values(), default=0) + batch.size
        batch.take(LogRecord(Partition(encoded.topic, "spool"), number, encoded.key, encoded.value))
    await book.add(batch, None, MOMENT_US)


async def test_sums_keep_their_numbers_and_lose_the_name(engine: AsyncEngine) -> None:
    await add_up(engine, analytics(user_id="lovelace", cost="1.5"), analytics(user_id="lovelace", cost="0.5"))
    await add_up(engine, analytics(user_id=None, cost="1"), analytics(user_id="grace", cost="4"))
    await erase(engine, Scope.USER, "lovelace")
    await add_up(engine, analytics(user_id="lovelace", cost="8"))
    async with engine.connect() as connection:
        columns = rollups_hourly.c
        found = await connection.execute(select(columns.user_id, columns.cost_nano, columns.requests))
        assert set(found.all()) == {("", 11 * 10**9, 4), ("grace", 4 * 10**9, 1)}


async def test_the_list_of_erasures_does_not_name_the_user(engine: AsyncEngine) -> None:
    await erase(engine, Scope.USER, "lovelace")
    [row] = await rows(engine, erasures)
    assert "lovelace" not in str(row)
    assert row.finished_at_us == FixedClock.now_us


async def test_what_could_not_be_read_goes_by_its_key(engine: AsyncEngine, store: RecordStore) -> None:
    for number, key in enumerate((b"1", b"11", b"llm:1")):
        unread = LogRecord(Partition("t", "p"), number, key, b"not JSON")
        await store.store(EventKind.PROXY_LOG, [], (), [UndecodableEvent(unread, "no", MOMENT_US)])
    await erase(engine, Scope.APP, "1")
    assert [row.key for row in await rows(engine, undecodable_events)] == [b"11", b"llm:1"]


async def test_a_run_that_is_ended_at_any_write_is_finished_by_the_next(
    engine: AsyncEngine, store: RecordStore
) -> None:
    await store.store(EventKind.PROXY_LOG, [as_read(telling()) for _ in range(60)])
    await store.store(EventKind.ANALYTICS, [as_read(analytics(user_id="lovelace")) for _ in range(30)])
    await add_up(engine, analytics(user_id="lovelace", cost="1.5"))
    for allowed in itertools.count():
        with ended_after(engine, allowed):
            try:
                await erase(engine, Scope.USER, "lovelace")
            except DatabaseUnavailableError:
                continue
        break
    assert allowed > 5
    assert "a secret" not in await everything(engine)
    runs = await rows(engine, erasures)
    assert len(runs) == 1, "each start goes on with the same run"
    assert runs[0].erased == 60 + 30 + 1


class _Ended:
    """Lets so many statements that write through, then none."""

    def __init__(self, engine: AsyncEngine, allowed: int) -> None:
        self._engine = engine.sync_engine
        self._allowed = allowed

    def __enter__(self) -> None:
        events.listen(self._engine, "before_cursor_execute", self._count)

    def __exit__(self, *_error: object) -> None:
        events.remove(self._engine, "before_cursor_execute", self._count)

    def _count(self, _connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if statement.startswith(("INSERT", "UPDATE", "DELETE")):
            if not self._allowed:
                raise OperationalError(statement, {}, Exception("the process was killed"))
            self._allowed -= 1


def ended_after(engine: AsyncEngine, allowed: int) -> _Ended:
    return _Ended(engine, allowed)
