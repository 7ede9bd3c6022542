"""The collectors' own command: its names, its metrics, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from prometheus_client import CollectorRegistry
from tests.support.environment import weir_environment

from weir_cli.collect import take_name
from weir_cli.collector_metrics import CollectorMetrics
from weir_collectors.accountant import AccountantStatus
from weir_collectors.status import BreakerStatus, CollectorStatus, GroupStatus, WorkerStatus

GROUP = GroupStatus(
    kind="proxy-log",
    group="weir.deciding.proxy-log",
    lag=7,
    decided=5,
    stored=2,
    undecodable=1,
    restarts=0,
    overruns=0,
    last_error=None,
    stuck=True,
    stalls=1,
    age_s=1.5,
    lag_s=90.0,
    late=True,
)
SINK = CollectorStatus(
    plugin_id=1,
    name="sink",
    observer=False,
    state="ready",
    reason="",
    lag=7,
    handled=3,
    passed=0,
    failed=1,
    skipped=1,
    stored=2,
    redriven=0,
    overruns=0,
    last_error="no",
    breakers=(BreakerStatus(kind="proxy-log", state="open", reason="away", paused=False),),
)
STATUS = WorkerStatus(revision=1, collectors=(SINK,), kinds=(GROUP,))


def test_a_process_has_the_first_name_that_is_free(tmp_path: Path) -> None:
    first, held = take_name(tmp_path)
    second, other = take_name(tmp_path)
    assert (first, second) == ("collect-1", "collect-2")
    held.release()
    again, last = take_name(tmp_path)
    assert again == "collect-1"
    for lock in (other, last):
        lock.release()


def test_metrics_follow_what_the_process_says_of_itself() -> None:
    registry = CollectorRegistry()
    metrics = CollectorMetrics(registry)
    uncounted = tuple(msgspec.structs.replace(group, lag=None) for group in STATUS.kinds)
    metrics.show(msgspec.structs.replace(STATUS, kinds=uncounted), AccountantStatus(), {}, 1_000_000)
    group = {"group": "weir.deciding.proxy-log", "kind": "proxy-log"}
    sink = {"collector": "sink", "kind": "proxy-log"}
    for name, labels in (
        ("weir_collectors_lag_events", group),
        ("weir_collector_lag_events", sink),
        ("weir_accountant_lag_events", {}),
    ):
        assert str(registry.get_sample_value(name, labels)) == "nan", "nothing has been counted"
    metrics.show(STATUS, AccountantStatus(lag=4, added=9, as_of_us=1_000_000), {"dead_letters": 6}, 3_000_000)
    more = msgspec.structs.replace(STATUS, collectors=(msgspec.structs.replace(SINK, handled=10),))
    metrics.show(
        more, AccountantStatus(lag=0, added=11, as_of_us=1_000_000, late=True), {"dead_letters": 6}, 3_000_000
    )
    expected = [
        ("weir_collectors_lag_events", group, 7),
        ("weir_collectors_lag_seconds", group, 90),
        ("weir_collectors_late", group, 1),
        ("weir_collectors_stuck", group, 1),
        ("weir_collectors_event_age_seconds", group, 1.5),
        ("weir_collectors_stored_total", group, 2),
        ("weir_collectors_stalls_total", group, 1),
        ("weir_collector_lag_events", sink, 7),
        ("weir_collector_breaker_open", sink, 1),
        ("weir_collector_breaker_open", sink | {"kind": "analytics"}, 0),
        ("weir_collector_events_total", {"collector": "sink", "result": "handled"}, 10),
        ("weir_collector_dead_letters_total", {"collector": "sink"}, 1),
        ("weir_accountant_lag_events", {}, 0),
        ("weir_accountant_age_seconds", {}, 2),
        ("weir_accountant_late", {}, 1),
        ("weir_accountant_events_total", {"result": "added"}, 11),
        ("weir_retention_removed_total", {"table": "dead_letters"}, 6),
    ]
    assert [
        (name, labels, registry.get_sample_value(name, labels)) for name, labels, _ in expected
    ] == expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "weir collect needs Kafka"),
        ({"kafka_bootstrap_servers": "127.0.0.1:1"}, "is no data directory of weir serve"),
    ],
)
def test_what_it_would_share_with_nobody_is_refused(
    tmp_path: Path, settings: dict[str, str], message: str
) -> None:
    program = str(Path(sys.executable).with_name("weir"))
    done = subprocess.run(
        [program, "collect", "--data-dir", str(tmp_path)],
        env=weir_environment(**settings),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert message in done.stderr
