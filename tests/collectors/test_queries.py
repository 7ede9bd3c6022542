"""Pages of records: every filter, newest first, stable while more records arrive."""

from __future__ import annotations

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.collectors.conftest import BOTH_DATABASES, only_sqlite
from tests.fakes.gateway_events import MOMENT_US, analytics, budget_usage, proxy_log, record

from weir_collectors.decoding import read_event
from weir_collectors.errors import DatabaseUnavailableError, InvalidPageError
from weir_collectors.kinds import EventKind
from weir_collectors.queries import RecordFilter, read_page
from weir_collectors.records import RecordStore
from weir_collectors.tables import metadata
from weir_core.clock import rfc3339
from weir_streams.events import Event, encode

DATABASES = BOTH_DATABASES

EVERYTHING = RecordFilter()


async def keep(store: RecordStore, kind: EventKind, *events: Event) -> None:
    await store.store(kind, [read_event(record(encode(event).value)) for event in events])


async def ids(engine: AsyncEngine, wanted: RecordFilter, kind: EventKind = EventKind.PROXY_LOG) -> list[str]:
    page = await read_page(engine, kind, wanted)
    return [item["event_id"] for item in page.records]


async def test_a_record_is_the_event_as_it_was_logged(store: RecordStore, engine: AsyncEngine) -> None:
    await keep(store, EventKind.BUDGET_USAGE, budget_usage(event_id="b", cost="0.5", tokens_used=3))
    page = await read_page(engine, EventKind.BUDGET_USAGE, EVERYTHING)
    (found,) = page.records
    assert (found["event_id"], found["cost"], found["tokens_used"]) == ("b", "0.5", 3)
    assert page.next_cursor is None


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (EVERYTHING, ["c", "b", "a"]),
        (RecordFilter(app_id=1), ["a"]),
        (RecordFilter(llm_id=9), ["b"]),
        (RecordFilter(model="claude"), ["b"]),
        (RecordFilter(request_id="rc"), ["c"]),
        (RecordFilter(status=502), ["c"]),
        (RecordFilter(from_us=MOMENT_US + 1), ["c", "b"]),
        (RecordFilter(to_us=MOMENT_US + 1), ["a"]),
        (RecordFilter(from_us=MOMENT_US + 1, to_us=MOMENT_US + 2), ["b"]),
        (RecordFilter(app_id=2, status=200), ["b"]),
        (RecordFilter(app_id=3), []),
    ],
)
async def test_a_filter_restricts_to_what_it_names(
    store: RecordStore, engine: AsyncEngine, wanted: RecordFilter, found: list[str]
) -> None:
    await keep(
        store,
        EventKind.PROXY_LOG,
        proxy_log(event_id="a", request_id="ra", timestamp=rfc3339(MOMENT_US)),
        proxy_log(event_id="b", app_id=2, llm_id=9, model_name="claude", timestamp=rfc3339(MOMENT_US + 1)),
        proxy_log(
            event_id="c",
            request_id="rc",
            app_id=2,
            response_code=502,
            outcome="upstream_error",
            timestamp=rfc3339(MOMENT_US + 2),
        ),
    )
    assert await ids(engine, wanted) == found


async def test_events_without_an_app_match_no_app(store: RecordStore, engine: AsyncEngine) -> None:
    await keep(store, EventKind.PROXY_LOG, proxy_log(event_id="anonymous", app_id=None))
    assert await ids(engine, EVERYTHING) == ["anonymous"]
    assert await ids(engine, RecordFilter(app_id=0)) == []


async def test_the_pages_hold_every_record_once(store: RecordStore, engine: AsyncEngine) -> None:
    same_moment = rfc3339(MOMENT_US)
    events = [analytics(event_id=f"e{number}", timestamp=same_moment) for number in range(25)]
    await keep(store, EventKind.ANALYTICS, *events)
    found: list[str] = []
    cursor = None
    while True:
        page = await read_page(engine, EventKind.ANALYTICS, EVERYTHING, cursor=cursor, limit=10)
        found += [item["event_id"] for item in page.records]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert found == [f"e{number}" for number in reversed(range(25))]


async def test_a_last_page_that_is_full_has_no_next_one(store: RecordStore, engine: AsyncEngine) -> None:
    await keep(store, EventKind.PROXY_LOG, proxy_log(), proxy_log())
    page = await read_page(engine, EventKind.PROXY_LOG, EVERYTHING, limit=2)
    assert len(page.records) == 2
    assert page.next_cursor is None


async def test_records_that_arrive_between_two_pages_neither_repeat_nor_hide_others(
    store: RecordStore, engine: AsyncEngine
) -> None:
    await keep(store, EventKind.PROXY_LOG, *(proxy_log(event_id=f"old-{number}") for number in range(4)))
    first = await read_page(engine, EventKind.PROXY_LOG, EVERYTHING, limit=2)
    await keep(store, EventKind.PROXY_LOG, *(proxy_log(event_id=f"new-{number}") for number in range(4)))
    second = await read_page(engine, EventKind.PROXY_LOG, EVERYTHING, limit=2, cursor=first.next_cursor)
    assert [item["event_id"] for item in first.records] == ["old-3", "old-2"]
    assert [item["event_id"] for item in second.records] == ["old-1", "old-0"]


@pytest.mark.parametrize("limit", [0, -1, 101])
async def test_a_limit_out_of_range_is_refused_by_name(engine: AsyncEngine, limit: int) -> None:
    with pytest.raises(InvalidPageError) as caught:
        await read_page(engine, EventKind.PROXY_LOG, EVERYTHING, limit=limit)
    assert caught.value.field == "limit"


@pytest.mark.parametrize("cursor", ["", "x", "MTIz", "ΩΩΩ", "MS4yLjM=", "YS5i"])
async def test_a_made_up_cursor_is_refused_by_name(engine: AsyncEngine, cursor: str) -> None:
    with pytest.raises(InvalidPageError) as caught:
        await read_page(engine, EventKind.PROXY_LOG, EVERYTHING, cursor=cursor)
    assert caught.value.field == "cursor"


@pytest.mark.parametrize("wanted", [RecordFilter(app_id=2**63), RecordFilter(status=2**31)])
async def test_a_number_beyond_the_database_is_refused(engine: AsyncEngine, wanted: RecordFilter) -> None:
    with pytest.raises(InvalidPageError):
        await read_page(engine, EventKind.PROXY_LOG, wanted)


@only_sqlite
async def test_a_database_that_cannot_be_read_is_a_retryable_error(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.run_sync(metadata.drop_all)
    with pytest.raises(DatabaseUnavailableError):
        await read_page(engine, EventKind.PROXY_LOG, EVERYTHING)
