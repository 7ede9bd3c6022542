"""What ``weir doctor`` says of what became of events, wherever it has that from."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from tests.cli.test_collect import GROUP, SINK, STATUS

from weir_cli.doctor_events import EventFacts, examine_events, facts_of_counters, facts_of_reports
from weir_cli.doctor_findings import Level
from weir_collectors.status import WorkerStatus

COUNTING = """
from prometheus_client import CollectorRegistry
from tests.cli.test_collect import STATUS
from weir_cli.collector_metrics import CollectorMetrics
from weir_collectors.accountant import AccountantStatus
CollectorMetrics(CollectorRegistry()).show(STATUS, AccountantStatus(), {}, 0)
"""


def counted(directory: Path) -> EventFacts:
    """What a process that counts left in its mapped files."""
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(directory)}
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", COUNTING], env=environment, cwd=root, check=True, timeout=60)
    return facts_of_counters(directory)


def test_counters_and_reports_tell_the_same(tmp_path: Path) -> None:
    told = msgspec.to_builtins(facts_of_reports([STATUS]))
    assert told["groups"]["weir.deciding.proxy-log"] == {
        "decided": 5,
        "stored": 2,
        "age_s": 1.5,
        "stuck": True,
        "late": True,
    }
    assert told["collectors"] == {"sink": {"handled": 3, "passed": 0, "failed": 1, "stored": 2}}
    assert msgspec.to_builtins(counted(tmp_path)) == told


def test_processes_that_share_a_group_are_added_up() -> None:
    facts = facts_of_reports([STATUS, STATUS])
    assert (facts.groups[GROUP.group].decided, facts.collectors["sink"].handled) == (10, 6)


@pytest.mark.parametrize(
    ("changes", "level", "said"),
    [
        (
            {"stuck": False, "late": False},
            Level.OK,
            "5 decided about, 2 of them stored, the last 1.5 s after",
        ),
        ({"stuck": True, "late": False}, Level.WRONG, "it is stuck"),
        ({"stuck": False, "late": True}, Level.WRONG, "it is late"),
    ],
)
def test_a_group_that_is_stuck_or_late_is_wrong(changes: dict[str, bool], level: Level, said: str) -> None:
    group = msgspec.structs.replace(GROUP, **changes)
    status = WorkerStatus(revision=1, collectors=(), kinds=(group,))
    [finding] = examine_events(facts_of_reports([status]))
    assert (finding.level, said in finding.what) == (level, True), finding


def test_a_collector_that_gave_up_on_events_is_to_be_looked_at() -> None:
    well = msgspec.structs.replace(SINK, failed=0, name="well")
    status = WorkerStatus(revision=1, collectors=(SINK, well), kinds=())
    ill, fine = examine_events(facts_of_reports([status]))
    assert (ill.level, fine.level) == (Level.NOTE, Level.OK)
    assert ill.what == "collector sink: 3 handled, 0 passed on, 1 given up, 2 stored"
