"""A worker that is killed: everything is stored or handled, and nothing is stored twice."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.collectors.conftest import append_family, open_spool, stored_ids
from tests.fakes.gateway_events import analytics, budget_usage, proxy_log

from weir_collectors.kinds import EventKind
from weir_collectors.tables import RECORDS
from weir_streams.events import Event

pytestmark = pytest.mark.crash

SCRIPT = Path(__file__).with_name("worker_process.py")


class Worker:
    """The worker as a process of its own."""

    def __init__(self, root: Path, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(SCRIPT), str(root), *arguments], stdout=subprocess.PIPE, text=True
        )

    def await_stored(self) -> bool:
        """Wait until a batch is in the database and not committed; false when the process has ended."""
        assert self._process.stdout is not None
        return self._process.stdout.readline() == "stored\n"

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()

    def finish(self) -> None:
        self._process.communicate()
        assert self._process.returncode == 0


@pytest.fixture
def families(tmp_path: Path) -> Iterator[Sequence[Sequence[Event]]]:
    """Families in a spool of the data directory, as many for apps with odd numbers as with even ones."""
    spool = open_spool(tmp_path)
    families = [
        (proxy_log(app_id=number), analytics(app_id=number), budget_usage(app_id=number))
        for number in range(1000)
    ]
    for family in families:
        append_family(spool, *family)
    yield families
    spool.close()


async def check_effects(engine: AsyncEngine, root: Path, families: Sequence[Any]) -> None:
    logs, usages, budgets = zip(*families, strict=True)
    handled = set((root / "sink").read_text().split())
    stored = await stored_ids(engine, RECORDS[EventKind.PROXY_LOG])
    assert handled == {event.event_id for event in logs if event.app_id % 2 == 0}
    assert sorted(stored) == sorted(event.event_id for event in logs if event.app_id % 2)
    for kind, events in ((EventKind.ANALYTICS, usages), (EventKind.BUDGET_USAGE, budgets)):
        assert sorted(await stored_ids(engine, RECORDS[kind])) == sorted(event.event_id for event in events)


async def test_a_kill_between_the_database_and_the_commit_repeats_no_record(
    tmp_path: Path, engine: AsyncEngine, families: Sequence[Any]
) -> None:
    held = Worker(tmp_path, "hold")
    for _ in EventKind:
        assert held.await_stored()
    held.kill()
    assert all([await stored_ids(engine, table) for table in RECORDS.values()])

    Worker(tmp_path).finish()
    await check_effects(engine, tmp_path, families)


async def test_kills_at_any_moment_lose_and_repeat_no_record(
    tmp_path: Path, engine: AsyncEngine, families: Sequence[Any]
) -> None:
    for batches in (1, 3):
        worker = Worker(tmp_path)
        for _ in range(batches):
            worker.await_stored()
        worker.kill()

    Worker(tmp_path).finish()
    await check_effects(engine, tmp_path, families)
