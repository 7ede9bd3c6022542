"""SIGKILL at random moments: what was acknowledged is there once, what was admitted has one family."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from tests.streams.support import RecordingLogger, all_events, open_spool

from weir_core.clock import SystemClock
from weir_streams.embedded import EmbeddedLog
from weir_streams.events import PROXY_LOG_TOPIC
from weir_streams.home import spool_directories

pytestmark = pytest.mark.crash

CHILD = "tests.streams.appending_child"
CHECKOUT = Path(__file__).parents[2]


def start(root: Path, run: int, sync: str, stdout: int) -> subprocess.Popen[str]:
    """A child that appends."""
    return subprocess.Popen(
        [sys.executable, "-m", CHILD, str(root), str(run), sync], stdout=stdout, text=True, cwd=CHECKOUT
    )


def run_until_killed(root: Path, run: int, sync: str, lines: int) -> tuple[list[str], list[str]]:
    """Kill the child after it has said so many lines; return what it admitted and what it wrote."""
    child = start(root, run, sync, subprocess.PIPE)
    assert child.stdout is not None
    said = [child.stdout.readline() for _ in range(lines)]
    child.kill()
    # What it said before the signal reached it counts as well.
    said += child.stdout.read().splitlines(keepends=True)
    child.wait()
    child.stdout.close()
    whole = [line.split() for line in said if line.endswith("\n")]
    return [name for kind, name in whole if kind == "A"], [name for kind, name in whole if kind == "W"]


@pytest.mark.parametrize(("sync", "rounds"), [("interval", 10), ("always", 3)])
def test_a_killed_worker_loses_nothing_and_doubles_nothing(tmp_path: Path, sync: str, rounds: int) -> None:
    chance = random.Random(20_250_101)
    admitted: list[str] = []
    written: list[str] = []
    for run in range(rounds):
        seen = run_until_killed(tmp_path, run, sync, chance.randint(1, 4000 if sync == "interval" else 400))
        admitted += seen[0]
        written += seen[1]
    open_spool(tmp_path).close()
    events = all_events(tmp_path)
    assert len(spool_directories(tmp_path)) == 1
    assert max(Counter(event["event_id"] for event in events).values()) == 1
    logs = [event for event in events if "response_code" in event]
    outcomes = {log["request_id"]: log["outcome"] for log in logs}
    assert len(outcomes) == len(logs)
    assert {outcomes.get(request) for request in written} == {"served"}
    assert set(admitted) <= outcomes.keys()
    assert Counter(outcomes.values())["gateway_error"] <= 6 * rounds
    kinds = Counter(event["request_id"] for event in events)
    assert {kinds[request] for request in written} == {3}


async def test_a_consumer_beside_a_live_writer_sees_every_family_once_and_no_damage(tmp_path: Path) -> None:
    child = start(tmp_path, 0, "interval", subprocess.DEVNULL)
    log = EmbeddedLog(tmp_path, clock=SystemClock(), logger=RecordingLogger())
    consumer = await log.consumer("group", [PROXY_LOG_TOPIC])
    seen: list[int] = []
    while len(seen) < 5000:
        records = await consumer.poll(1000, 1)
        seen += [record.offset for record in records]
        await consumer.commit({record.partition: record.offset + 1 for record in records})
    child.kill()
    child.wait()
    assert seen == list(range(1, 3 * len(seen), 3))
    assert log.damages == 0
    await consumer.close()


def test_the_kernel_gives_the_lock_of_a_killed_owner_to_the_next(tmp_path: Path) -> None:
    run_until_killed(tmp_path, 0, "interval", 10)
    (directory,) = spool_directories(tmp_path)
    spool = open_spool(tmp_path)
    assert spool.id == directory.name
    spool.close()
