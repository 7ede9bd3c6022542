"""Dead letters and collectors through the API."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from sqlalchemy import insert
from tests.control.conftest import World

from weir_collectors.status import BreakerStatus, CollectorStatus, WorkerStatus
from weir_collectors.tables_dead_letters import dead_letter_ranges, dead_letters
from weir_control.workers import PluginReport, Report

MOMENT_US = 1_800_000_000_000_000


async def add_letter(world: World, **columns: Any) -> int:
    row = {
        "event_id": "e1",
        "collector": "warehouse",
        "kind": "proxy-log",
        "reason": "no such column",
        "retryable": False,
        "tries": 3,
        "failed_at_us": MOMENT_US,
        "timestamp_us": MOMENT_US,
        "request_id": "r1",
        "edge_namespace": "",
        "value": '{"event_id":"e1","request_body":"hello","response_body":null}',
        "state": "failed",
    }
    async with world.store.engine.begin() as connection:
        statement = insert(dead_letters).values(row | columns).returning(dead_letters.c.id)
        letter_id: int = (await connection.execute(statement)).scalar_one()
    return letter_id


async def add_range(world: World, **columns: Any) -> int:
    row = {
        "collector": "warehouse",
        "kind": "proxy-log",
        "topic": "weir.proxy-log.v1",
        "partition": "spool",
        "first_offset": 5,
        "last_offset": 9,
        "events": 4,
        "first_timestamp_us": MOMENT_US,
        "last_timestamp_us": MOMENT_US,
        "reason": "connection refused",
        "opened_at_us": MOMENT_US,
        "next_offset": 5,
        "redriven": 0,
        "failed": 0,
        "missing": 0,
        "state": "open",
    }
    async with world.store.engine.begin() as connection:
        statement = insert(dead_letter_ranges).values(row | columns).returning(dead_letter_ranges.c.id)
        range_id: int = (await connection.execute(statement)).scalar_one()
    return range_id


async def test_letters_are_listed_newest_first_and_filtered(world: World) -> None:
    await add_letter(world)
    await add_letter(world, event_id="e2", collector="search", kind="analytics", failed_at_us=MOMENT_US + 5)
    await add_letter(world, event_id="e3", state="redriven", redriven_at_us=MOMENT_US + 9)

    async def listed(query: str) -> list[str]:
        return [letter["event_id"] for letter in await world.admin.data("GET", f"/dead-letters{query}")]

    assert await listed("") == ["e3", "e2", "e1"]
    assert await listed("?collector=search") == ["e2"]
    assert await listed("?kind=analytics") == ["e2"]
    assert await listed("?state=redriven") == ["e3"]
    assert await listed("?to=2027-01-15T08:00:00.000005Z") == ["e3", "e1"]
    assert await listed("?limit=1&page=2") == ["e2"]
    answer = (await world.admin("GET", "/dead-letters?collector=warehouse")).json()
    assert answer["pagination"]["total"] == 2
    assert "event" not in answer["data"][0]


@pytest.mark.parametrize(
    ("role", "body"), [("admin", "hello"), ("auditor", "hello"), ("operator", "***"), ("viewer", "***")]
)
async def test_the_bodies_of_a_letters_event_are_for_admins_and_auditors(
    world: World, role: str, body: str
) -> None:
    letter_id = await add_letter(world)
    caller = await world.caller(role)
    letter = await caller.data("GET", f"/dead-letters/{letter_id}")
    assert letter["event"]["request_body"] == body
    assert (letter["reason"], letter["tries"], letter["state"]) == ("no such column", 3, "failed")
    assert letter["failed_at"] == "2027-01-15T08:00:00.000000Z"


WORDS = {
    "reason": "raised KeyError: hello",
    "reason_unquoted": "raised KeyError",
    "redrive_error": "raised TypeError: hello",
    "redrive_error_unquoted": "raised TypeError",
}


@pytest.mark.parametrize(
    ("role", "said"), [("admin", ": hello"), ("auditor", ": hello"), ("operator", ""), ("viewer", "")]
)
async def test_a_collectors_own_words_are_for_those_who_may_read_bodies(
    world: World, role: str, said: str
) -> None:
    caller = await world.caller(role)
    letter_id, range_id = await add_letter(world, **WORDS), await add_range(world, **WORDS)
    shown = [
        await caller.data("GET", f"/dead-letters/{letter_id}"),
        *await caller.data("GET", "/dead-letters"),
        await caller.data("GET", f"/dead-letters/ranges/{range_id}"),
        *await caller.data("GET", "/dead-letters/ranges"),
    ]
    if role in ("admin", "operator"):
        shown.append(await caller.data("POST", f"/dead-letters/{letter_id}/redrive"))
        shown.append(await caller.data("POST", f"/dead-letters/ranges/{range_id}/redrive"))
    for one in shown:
        assert one["reason"] == f"raised KeyError{said}"
        assert one["redrive_error"] in (f"raised TypeError{said}", None)


@pytest.mark.parametrize(("role", "said"), [("admin", ": hello"), ("viewer", "")])
async def test_what_a_collector_says_of_its_sink_is_for_those_who_may_read_bodies_too(
    world: World, role: str, said: str
) -> None:
    plugin = await world.admin.plugin(name="Warehouse", hook_type="data_collection")
    away = BreakerStatus(
        kind="proxy-log",
        state="open",
        reason="raised OSError: hello",
        paused=True,
        reason_unquoted="raised OSError",
    )
    told = {"last_error": "raised KeyError: hello", "last_error_unquoted": "raised KeyError"}
    report(world, "a", plugin["id"], status(plugin["id"], breakers=(away,), **told))
    collector = await (await world.caller(role)).data("GET", "/collectors/warehouse")
    assert collector["last_error"] == f"raised KeyError{said}"
    assert collector["breakers"][0]["reason"] == f"raised OSError{said}"


async def test_asking_for_a_redrive_marks_the_letter_once(world: World) -> None:
    letter_id = await add_letter(world)
    first = await world.admin.data("POST", f"/dead-letters/{letter_id}/redrive")
    world.clock.ahead_s += 10
    second = await world.admin.data("POST", f"/dead-letters/{letter_id}/redrive")
    assert first["state"] == "requested"
    assert second == first


async def test_a_redriven_letter_is_left_as_it_is(world: World) -> None:
    letter_id = await add_letter(world, state="redriven", redriven_at_us=MOMENT_US)
    letter = await world.admin.data("POST", f"/dead-letters/{letter_id}/redrive")
    assert (letter["state"], letter["requested_at"]) == ("redriven", None)


async def test_all_of_a_collectors_letters_and_ranges_are_asked_for_at_once(world: World) -> None:
    for number in range(3):
        await add_letter(world, event_id=f"e{number}")
    other = await add_letter(world, collector="search")
    range_id = await add_range(world)
    await add_range(world, state="redriven")
    answer = await world.admin("POST", "/dead-letters/redrive?collector=warehouse")
    assert (answer.status_code, answer.json()["data"]) == (202, {"letters": 3, "ranges": 1})
    assert (await world.admin.data("GET", f"/dead-letters/{other}"))["state"] == "failed"
    assert (await world.admin.data("GET", f"/dead-letters/ranges/{range_id}"))["state"] == "requested"


async def test_ranges_are_listed_and_redriven_one_by_one(world: World) -> None:
    range_id = await add_range(world)
    (listed,) = await world.admin.data("GET", "/dead-letters/ranges?collector=warehouse&state=open")
    assert (listed["id"], listed["events"], listed["closed_at"]) == (range_id, 4, None)
    asked = await world.admin.data("POST", f"/dead-letters/ranges/{range_id}/redrive")
    assert asked["state"] == "requested"


async def test_a_viewer_may_not_redrive(world: World) -> None:
    letter_id = await add_letter(world)
    viewer = await world.caller("viewer")
    await viewer.problem(403, "POST", f"/dead-letters/{letter_id}/redrive")
    operator = await world.caller("operator")
    await operator.data("POST", f"/dead-letters/{letter_id}/redrive")


async def test_a_bound_token_sees_its_own_apps_letters_and_no_ranges(world: World) -> None:
    app = await world.admin.app(namespace="emea")
    own = await add_letter(world, app_id=app["id"])
    other = await add_letter(world, event_id="e2")
    bound = await world.caller("operator", "emea")
    assert [letter["id"] for letter in await bound.data("GET", "/dead-letters")] == [own]
    await bound.problem(404, "GET", f"/dead-letters/{other}")
    await bound.problem(404, "POST", f"/dead-letters/{other}/redrive")
    await bound.problem(403, "GET", "/dead-letters/ranges")
    await bound.problem(403, "POST", "/dead-letters/redrive?collector=warehouse")


@pytest.mark.parametrize("path", ["/dead-letters/9", "/dead-letters/ranges/9", "/collectors/nobody"])
async def test_what_is_not_there_is_404(world: World, path: str) -> None:
    await world.admin.problem(404, "GET", path)


def status(plugin_id: int, **changes: Any) -> CollectorStatus:
    known = CollectorStatus(
        plugin_id=plugin_id,
        name="warehouse",
        observer=False,
        state="ready",
        reason="",
        lag=3,
        handled=10,
        passed=1,
        failed=2,
        skipped=4,
        stored=7,
        redriven=0,
        overruns=0,
        last_error=None,
    )
    return msgspec.structs.replace(known, **changes)


def report(world: World, worker: str, plugin_id: int, collector: CollectorStatus) -> None:
    """Let a collectors process report, as it does over the internal socket."""
    world.service.workers.record(
        msgspec.json.decode(
            msgspec.json.encode(
                Report(
                    worker=worker,
                    revision=2**31,
                    role="collectors",
                    plugins={plugin_id: PluginReport("ready")},
                    collecting=WorkerStatus(revision=1, collectors=(collector,), kinds=()),
                )
            ),
            type=Report,
        )
    )


async def test_a_collector_is_the_sum_of_what_its_processes_report(world: World) -> None:
    plugin = await world.admin.plugin(name="Warehouse", hook_type="data_collection")
    await world.admin.plugin(name="Guard", hook_type="auth")
    away = BreakerStatus(kind="analytics", state="open", reason="connection refused", paused=True)
    report(world, "a", plugin["id"], status(plugin["id"], age_s=0.5))
    report(world, "b", plugin["id"], status(plugin["id"], breakers=(away,), last_error="connection refused"))
    (collector,) = await world.admin.data("GET", "/collectors")
    assert collector == await world.admin.data("GET", "/collectors/warehouse")
    assert (collector["state"], collector["observer"]) == ("ready", False)
    assert (collector["lag"], collector["handled"], collector["stored"]) == (6, 20, 14)
    assert (collector["last_error"], collector["event_age_seconds"]) == ("connection refused", 0.5)
    assert collector["breakers"] == [
        {"kind": "analytics", "state": "open", "reason": "connection refused", "paused": True}
    ]


async def test_a_collector_that_no_process_has_reported_has_counted_nothing(world: World) -> None:
    await world.admin.plugin(name="Warehouse", hook_type="data_collection", is_active=False)
    collector = await world.admin.data("GET", "/collectors/warehouse")
    assert (collector["state"], collector["handled"], collector["last_error"]) == ("stopped", 0, None)


async def test_an_observer_and_a_pausing_collector_are_stored_as_such(world: World) -> None:
    options = {"observer": True, "on_outage": "pause", "max_lag": 500}
    plugin = await world.admin.plugin(name="Watcher", hook_type="data_collection", collector=options)
    assert plugin["collector"].items() >= options.items()
    assert (await world.admin.data("GET", "/collectors/watcher"))["observer"] is True
    errors = await world.admin.errors("PATCH", f"/plugins/{plugin['id']}", {"collector": {"max_lag": 0}})
    assert errors == {"collector.max_lag": "invalid"}
