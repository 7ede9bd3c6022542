"""Sums through the API."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import insert
from tests.control.conftest import Api, World, refusal

from weir_collectors.accountant import AccountantStatus
from weir_collectors.book import add_sums
from weir_collectors.tables_accounting import SUMS, accountant_members, rollups_hourly
from weir_collectors.tally import HOUR_US, RollupKey
from weir_control.workers import Report
from weir_core.clock import parse_rfc3339

NOON = parse_rfc3339("2026-08-01T12:00:00Z") // HOUR_US
BIG = 10**18 + 1


async def store(world: World, hour: int = NOON, *, cost_nano: int = 0, **changes: Any) -> None:
    """One row of the rollups, as the accountant writes it; sums are 1 where the test names none."""
    sums = {name: changes.pop(name, 1) for name in SUMS} | {"cost_nano": cost_nano}
    key = {"app_id": 1, "llm_id": 2, "vendor": "openai", "model": "gpt-4o", "user_id": "ada"}
    row = RollupKey(hour, **(key | {"edge_namespace": "", "currency": "USD"} | changes))
    async with world.store.engine.begin() as connection:
        await add_sums(connection, rollups_hourly, SUMS, {row: tuple(sums[name] for name in SUMS)})


async def summary(api: Api, query: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = await api.data("GET", f"/analytics/summary?{query}")
    return found


@pytest.mark.parametrize(
    ("group_by", "field", "expected"),
    [
        ("app", "app_id", [7, 1]),
        ("llm", "llm_id", [3, 2]),
        ("model", "model_name", ["claude", "gpt-4o"]),
        ("vendor", "vendor", ["anthropic", "openai"]),
        ("user", "user_id", [None, "ada"]),
    ],
)
async def test_groups_come_with_the_dearest_first(
    world: World, group_by: str, field: str, expected: list[Any]
) -> None:
    await store(world, cost_nano=5)
    other = {"app_id": 7, "llm_id": 3, "vendor": "anthropic", "model": "claude", "user_id": ""}
    await store(world, NOON + 1, cost_nano=4, **other)
    await store(world, NOON + 2, cost_nano=4, **other)
    groups = await summary(world.admin, f"group_by={group_by}")
    assert [group[field] for group in groups] == expected
    assert [group["cost"] for group in groups] == ["0.000000008", "0.000000005"]
    assert [group["requests"] for group in groups] == [2, 1]


async def test_groups_of_a_time_come_in_its_order(world: World) -> None:
    await store(world, NOON + 13, cost_nano=5)
    await store(world, NOON, cost_nano=1)
    hours = await summary(world.admin, "group_by=hour")
    assert [group["hour"] for group in hours] == [
        "2026-08-01T12:00:00.000000Z",
        "2026-08-02T01:00:00.000000Z",
    ]
    days = await summary(world.admin, "group_by=day,app")
    assert [(group["day"], group["app_id"]) for group in days] == [("2026-08-01", 1), ("2026-08-02", 1)]


async def test_sums_are_exact_beyond_what_a_float_can_tell(world: World) -> None:
    await store(world, cost_nano=BIG, prompt_tokens=2**53 + 1)
    await store(world, NOON + 1, cost_nano=1)
    [group] = await summary(world.admin, "group_by=app")
    assert group["cost"] == "1000000000.000000002"
    assert group["prompt_tokens"] == 2**53 + 2


async def test_currencies_are_never_added_together(world: World) -> None:
    await store(world, cost_nano=1)
    await store(world, cost_nano=2, currency="EUR")
    groups = await summary(world.admin, "group_by=app")
    assert [(group["currency"], group["cost"]) for group in groups] == [
        ("EUR", "0.000000002"),
        ("USD", "0.000000001"),
    ]


async def test_a_sum_says_what_is_missing_in_it_and_what_went_wrong(world: World) -> None:
    await store(world, requests=9, errors=4, upstream_error=3, unknown_prices=2, usage_estimated=5)
    [group] = await summary(world.admin, "")
    assert (group["requests"], group["errors"], group["unknown_prices"]) == (9, 4, 2)
    assert group["outcomes"]["upstream_error"] == 3
    assert group["usage"] == {"provider": 1, "estimated": 5, "none": 1}
    assert "app_id" not in group


async def test_names_are_resolved_as_long_as_there_is_somebody_to_name(world: World) -> None:
    app, llm = await world.admin.app(name="Support bot"), await world.admin.llm(name="OpenAI")
    await store(world, app_id=app["id"], llm_id=llm["id"], cost_nano=2)
    await store(world, app_id=4000, llm_id=4000, cost_nano=1)
    first, second = await summary(world.admin, "group_by=app,llm")
    assert (first["app_name"], first["llm_name"]) == ("Support bot", "OpenAI")
    assert (second["app_id"], second["app_name"], second["llm_name"]) == (4000, None, None)


@pytest.mark.parametrize(
    ("query", "requests", "bounds"),
    [
        ("from=2026-08-01T13:00:00Z", 6, ("2026-08-01T13:00:00.000000Z", None)),
        ("to=2026-08-01T13:00:00Z", 1, (None, "2026-08-01T13:00:00.000000Z")),
        (
            "from=2026-08-01T13:30:00Z&to=2026-08-01T13:45:00Z",
            2,
            ("2026-08-01T13:00:00.000000Z", "2026-08-01T14:00:00.000000Z"),
        ),
        (
            "from=2026-08-01T15:30:00%2B02:00&to=2026-08-01T15:00:00Z",
            6,
            ("2026-08-01T13:00:00.000000Z", "2026-08-01T15:00:00.000000Z"),
        ),
    ],
)
async def test_a_range_is_widened_to_full_hours_and_the_answer_says_to_which(
    world: World, query: str, requests: int, bounds: tuple[str | None, str | None]
) -> None:
    for hour, count in ((NOON, 1), (NOON + 1, 2), (NOON + 2, 4)):
        await store(world, hour, requests=count)
    answer = (await world.admin("GET", f"/analytics/summary?{query}")).json()
    assert [group["requests"] for group in answer["data"]] == [requests]
    assert (answer["from"], answer["to"]) == bounds


async def test_without_any_events_the_answer_is_empty(world: World) -> None:
    answer = (await world.admin("GET", "/analytics/summary?group_by=app&from=2026-01-01T00:00:00Z")).json()
    assert (answer["data"], answer["as_of"], answer["pagination"]["total"]) == ([], None, 0)


async def test_pages_follow_one_another(world: World) -> None:
    for number in range(5):
        await store(world, app_id=number + 1, cost_nano=number)
    page = (await world.admin("GET", "/analytics/summary?group_by=app&limit=2&page=2")).json()
    assert [group["app_id"] for group in page["data"]] == [3, 2]
    assert page["pagination"] == {"page": 2, "limit": 2, "total": 5, "total_pages": 3}


async def test_as_of_is_the_slowest_accountants_and_forgets_one_that_is_gone(world: World) -> None:
    minute = 60_000_000
    start = NOON * HOUR_US
    rows = (("fast", 9 * minute, 9 * minute), ("slow", 8 * minute, 9 * minute), ("gone", minute, minute))
    async with world.store.engine.begin() as connection:
        for member, as_of, seen in rows:
            values = {"member": member, "as_of_us": start + as_of, "seen_us": start + seen}
            await connection.execute(insert(accountant_members).values(values))
    answer = (await world.admin("GET", "/analytics/summary")).json()
    assert answer["as_of"] == "2026-08-01T12:08:00.000000Z"


async def test_the_answer_says_how_far_behind_the_accountant_is_and_why(world: World) -> None:
    answer = (await world.admin("GET", "/analytics/summary")).json()
    assert (answer["lag"], answer["last_error"]) == (None, None)
    world.service.workers.record(Report("collectors", 1, role="collectors", accountant=AccountantStatus()))
    answer = (await world.admin("GET", "/analytics/summary")).json()
    assert (answer["lag"], answer["late"]) == (None, False)
    status = AccountantStatus(lag=7, last_error="the database is away")
    world.service.workers.record(Report("collectors", 1, role="collectors", accountant=status))
    answer = (await world.admin("GET", "/analytics/summary")).json()
    assert (answer["lag"], answer["last_error"]) == (7, "the database is away")


@refusal
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("group_by=colour", "group_by"),
        ("group_by=app,app", "group_by"),
        ("group_by=app,", "group_by"),
        ("from=yesterday", "from"),
        ("to=2026-08-01", "to"),
        ("limit=101", "limit"),
        ("app_id=1", "app_id"),
    ],
)
async def test_a_question_that_cannot_be_is_422_by_name(refusing: Api, query: str, field: str) -> None:
    assert list(await refusing.errors("GET", f"/analytics/summary?{query}")) == [field]
