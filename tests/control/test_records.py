"""Records through the API."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import insert
from tests.control.conftest import Api, World, refusal

from weir_collectors.kinds import EventKind
from weir_collectors.tables import RECORDS
from weir_core.clock import parse_rfc3339, rfc3339

START_US = parse_rfc3339("2026-08-01T12:00:00Z")


async def store_records(world: World, kind: EventKind, count: int, **columns: Any) -> None:
    """Records one second apart, as the collectors write them."""
    async with world.store.engine.begin() as connection:
        for number in range(count):
            moment = START_US + number * 1_000_000
            value = '{"event_id": "%s-%d", "timestamp": "%s", "request_body": "hello", "response_body": "hi"}'
            row = {
                "event_id": f"{kind}-{number}-{columns}",
                "request_id": f"r{number}",
                "timestamp_us": moment,
                "value": value % (kind, number, rfc3339(moment)),
            }
            await connection.execute(insert(RECORDS[kind]).values(**(row | columns)))


def numbers(page: Any) -> list[int]:
    return [int(record["event_id"].rsplit("-", 1)[1]) for record in page["data"]]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("proxy-logs", EventKind.PROXY_LOG),
        ("analytics", EventKind.ANALYTICS),
        ("budget-usage", EventKind.BUDGET_USAGE),
    ],
)
async def test_records_come_newest_first_page_by_page(world: World, path: str, kind: EventKind) -> None:
    await store_records(world, kind, 5)
    first = (await world.admin("GET", f"/records/{path}?limit=2")).json()
    assert numbers(first) == [4, 3]
    second = (await world.admin("GET", f"/records/{path}?limit=2&cursor={first['next_cursor']}")).json()
    assert numbers(second) == [2, 1]
    last = (await world.admin("GET", f"/records/{path}?limit=2&cursor={second['next_cursor']}")).json()
    assert (numbers(last), last["next_cursor"]) == ([0], None)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("app_id=1", [2, 1, 0]),
        ("app_id=2", []),
        ("llm_id=3&model=gpt-4o&status=200", [2, 1, 0]),
        ("model=GPT-4o", []),
        ("status=500", []),
        ("request_id=r1", [1]),
        ("from=2026-08-01T12:00:01Z", [2, 1]),
        ("to=2026-08-01T12:00:01Z", [0]),
        ("from=2026-08-01T14:00:01%2B02:00&to=2026-08-01T12:00:02Z", [1]),
        ("from=2026-08-01T12:00:02Z&to=2026-08-01T12:00:01Z", []),
    ],
)
async def test_filters_restrict(world: World, query: str, expected: list[int]) -> None:
    await store_records(world, EventKind.PROXY_LOG, 3, app_id=1, llm_id=3, model="gpt-4o", status=200)
    assert numbers((await world.admin("GET", f"/records/proxy-logs?{query}")).json()) == expected


@refusal
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=101", "limit"),
        ("limit=0", "limit"),
        ("cursor=nonsense", "cursor"),
        ("cursor=OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5LjE=", ""),
        ("app_id=0", "app_id"),
        ("app_id=4294967296", "app_id"),
        ("app=1", "app"),
        ("from=yesterday", "from"),
        ("from=2026-08-01T12:00:00", "from"),
        ("to=2026-08-01", "to"),
        ("status=7", "status"),
        ("model=", "model"),
        ("model=%00", "model"),
        ("from_=2026-08-01T12:00:00Z", "from_"),
    ],
)
async def test_a_filter_that_cannot_be_is_422_by_name(refusing: Api, query: str, field: str) -> None:
    assert list(await refusing.errors("GET", f"/records/proxy-logs?{query}")) == [field]


@pytest.mark.parametrize("role", ["viewer", "operator"])
async def test_who_may_not_read_bodies_sees_that_there_are_some(world: World, role: str) -> None:
    await store_records(world, EventKind.PROXY_LOG, 1)
    [full] = await world.admin.data("GET", "/records/proxy-logs")
    assert (full["request_body"], full["response_body"]) == ("hello", "hi")
    [bare] = await (await world.caller(role)).data("GET", "/records/proxy-logs")
    assert (bare["request_body"], bare["response_body"]) == ("***", "***")
    assert bare["timestamp"] == full["timestamp"]
