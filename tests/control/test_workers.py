"""What processes report, and what follows from it for plugins and ``/proxies``."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from tests.control.conftest import MovableClock, World

from weir_control.plugins.states import observed_state
from weir_control.workers import PluginReport, Report, Workers

PLUGIN: dict[Any, Any] = {"id": 3, "revision": 7, "is_active": True, "probe_ok": True, "probe_reason": ""}


def ready(worker: str, revision: int = 7) -> Report:
    return Report(worker=worker, revision=revision, plugins={3: PluginReport("ready")})


def failed(worker: str, reason: str = "no module", revision: int = 7) -> Report:
    return Report(worker=worker, revision=revision, plugins={3: PluginReport("failed", reason)})


def starting(worker: str) -> Report:
    return Report(worker=worker, revision=7, plugins={3: PluginReport("starting")})


@pytest.mark.parametrize(
    ("reports", "state", "reason"),
    [
        ([], "starting", "no worker has reported it yet"),
        ([Report(worker="a", revision=7)], "starting", "no worker has reported it yet"),
        ([ready("a")], "ready", ""),
        ([ready("a"), ready("b")], "ready", ""),
        ([failed("a"), failed("b")], "failed", "no module"),
        ([failed("a", "x"), failed("b", "y")], "failed", "a: x; b: y"),
        ([ready("a"), failed("b")], "degraded", "no module"),
        ([ready("a"), starting("b")], "starting", ""),
        ([starting("a"), failed("b")], "degraded", "a: starting; b: no module"),
        ([ready("a", revision=6)], "starting", "not applied yet"),
        ([ready("a"), ready("b", revision=6)], "starting", "not applied yet"),
        ([failed("a", revision=6)], "starting", "not applied yet"),
        ([ready("a", revision=9)], "ready", ""),
    ],
)
def test_the_state_of_a_plugin_is_what_all_live_workers_say(
    reports: list[Report], state: str, reason: str
) -> None:
    workers = Workers(MovableClock())
    for report in reports:
        workers.record(report)
    assert observed_state(PLUGIN, workers) == PluginReport(state, reason)  # type: ignore[arg-type]


def test_workers_know_better_than_the_trial_start() -> None:
    workers = Workers(MovableClock())
    broken = PLUGIN | {"probe_ok": False, "probe_reason": "no module"}
    assert observed_state(broken, workers) == PluginReport("failed", "no module")
    workers.record(ready("a"))
    assert observed_state(broken, workers).state == "ready"


def test_an_inactive_plugin_is_stopped_whatever_anybody_says() -> None:
    workers = Workers(MovableClock())
    workers.record(ready("a"))
    assert observed_state(PLUGIN | {"is_active": False}, workers).state == "stopped"


def test_a_worker_that_fell_silent_does_not_count() -> None:
    clock = MovableClock()
    workers = Workers(clock)
    workers.record(failed("gone"))
    clock.ahead_s += 11
    workers.record(ready("a"))
    assert observed_state(PLUGIN, workers).state == "ready"
    assert [(worker.report.worker, worker.stale) for worker in workers.all()] == [
        ("a", False),
        ("gone", True),
    ]


def test_a_worker_is_forgotten_after_an_hour() -> None:
    clock = MovableClock()
    workers = Workers(clock)
    workers.record(ready("gone"))
    clock.ahead_s += 3601
    workers.record(ready("a"))
    assert [worker.report.worker for worker in workers.all()] == ["a"]


def test_a_flood_of_names_stays_bounded() -> None:
    workers = Workers(MovableClock())
    for number in range(5000):
        workers.record(ready(f"w{number}"))
    assert len(workers.all()) == 4096


def post(world: World, content: bytes) -> Any:
    transport = httpx2.ASGITransport(world.service.internal_app)
    client = httpx2.AsyncClient(transport=transport, base_url="http://control")
    return client.post("/internal/status", content=content)


async def test_a_report_shows_in_proxies(world: World) -> None:
    await world.admin.plugin()
    revision = int((await world.admin("POST", "/apps", {"name": "a"})).headers["x-weir-revision"])
    body = (
        b'{"worker": "proxy-0", "role": "proxy", "pid": 42, "edge_id": "e", "namespace": "north", '
        b'"revision": %d, "plugins": {"1": {"state": "ready", "reason": "", "since_us": 1}}, "new_field": 1}'
    )
    assert (await post(world, body % revision)).status_code == 204
    assert (
        await post(world, b'{"worker": "collector", "role": "collector", "revision": 1}')
    ).status_code == 204
    relay = (
        b'{"worker": "relay", "role": "relay", "revision": 0, "edge_id": "e", '
        b'"spool": {"waiting_events": 3, "waiting_bytes": 900, "oldest_s": 1.5}}'
    )
    assert (await post(world, relay)).status_code == 204
    [proxy] = await world.admin.data("GET", "/proxies")
    seen_at = proxy.pop("seen_at")
    assert seen_at.endswith("Z")
    assert proxy == {
        "name": "proxy-0",
        "pid": 42,
        "edge_id": "e",
        "namespace": "north",
        "applied_revision": revision,
        "up_to_date": True,
        "plugins": [{"plugin_id": 1, "state": "ready", "reason": ""}],
        "spool": {"waiting_events": 3, "waiting_bytes": 900, "oldest_seconds": 1.5, "late": False},
        "stale": False,
    }
    world.clock.ahead_s += 30
    await world.admin.app()
    [proxy] = await world.admin.data("GET", "/proxies")
    assert (proxy["stale"], proxy["up_to_date"]) == (True, False)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"worker": "a"}',
        b'{"worker": 1, "revision": 1}',
        b'{"worker": "a", "revision": "1"}',
        b'{"worker": "a", "revision": 1, "plugins": {"x": {"state": "ready"}}}',
        b'{"worker": "a", "revision": 1, "plugins": {"1": {"state": "fine"}}}',
        b"\xff",
        b'{"worker": "a", "revision": ' + b"[" * 100_000,
    ],
)
async def test_what_is_no_report_is_422(world: World, body: bytes) -> None:
    assert (await post(world, body)).status_code == 422
    assert world.service.workers.all() == []


async def test_a_report_over_a_mebibyte_is_413(world: World) -> None:
    assert (await post(world, b" " * (1024 * 1024 + 1))).status_code == 413


@pytest.mark.parametrize(
    "path", ["/internal/status", "/api/v1/internal/status", "/api/v1/../../internal/status"]
)
async def test_no_report_gets_in_through_the_management_api(world: World, path: str) -> None:
    for token in (None, "Bearer " + "x"):
        headers = {} if token is None else {"authorization": token}
        answer = await world.client.post(path, content=b'{"worker": "evil", "revision": 1}', headers=headers)
        assert answer.status_code == 401
    answer = await world.admin("POST", "/../../internal/status", {"worker": "evil", "revision": 1})
    assert answer.status_code == 404
    assert world.service.workers.all() == []
