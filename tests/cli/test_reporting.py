"""How roles on machines of their own tell control how they are, and what becomes of it when they cannot."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.streams.support import RecordingLogger
from tests.support.answering import answering

from weir_cli.data_dir import DataDir
from weir_cli.kafka import instance_name
from weir_cli.roles import collectors, edge
from weir_cli.roles.context import RoleContext
from weir_cli.stopping import StopSignal
from weir_collectors.database import create_engine
from weir_control.store.reports import read_reports
from weir_control.workers import Report, Workers
from weir_core.clock import SystemClock
from weir_core.secrets import KeyRing
from weir_core.settings import Settings

REFUSAL = "control does not take the reports of this proxy"
TOKEN = SecretStr("wt_edge")


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in ((edge, "_EVERY_S"), (collectors, "_REPORT_EVERY_S")):
        monkeypatch.setattr(module, name, 0.01)


@pytest.fixture
async def engine(migrated_postgres: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(migrated_postgres)
    yield engine
    await engine.dispose()


def context(root: Path, name: str) -> RoleContext:
    return RoleContext(
        name=name,
        settings=Settings(),
        data_dir=DataDir.at(root),
        keyring=KeyRing([bytes(32)]),
        listeners=(),
        clock=SystemClock(),
        logger=structlog.get_logger(),
        stop=StopSignal(),
    )


def told(number: int) -> dict[str, Any]:
    """What a worker says, as plain values."""
    return {"worker": "collect-1", "role": "collectors", "pid": number, "revision": 4, "plugins": {}}


async def until(condition: Callable[[], Any]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


@pytest.mark.system
async def test_a_worker_is_known_to_every_control_process_by_a_name_that_no_other_machine_has(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    names = [instance_name(tmp_path / machine, "collect-1") for machine in ("north", "south")]
    tasks = [
        asyncio.create_task(
            collectors._report_to_database(context(tmp_path / machine, "collect-1"), engine, lambda: told(7))
        )
        for machine in ("north", "south")
    ]
    while len(seen := await read_reports(engine)) < 2:
        await asyncio.sleep(0.01)
    for task in tasks:
        task.cancel()
    assert sorted(one.report.worker for one in seen) == sorted(names)
    assert {(one.report.role, one.report.revision, one.report.pid) for one in seen} == {("collectors", 4, 7)}


@pytest.mark.system
async def test_a_worker_goes_on_reporting_when_the_database_was_away(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    asked: list[int] = []

    def report() -> dict[str, Any]:
        asked.append(1)
        return told(len(asked))

    async with engine.begin() as connection:
        await connection.execute(text("ALTER TABLE worker_reports RENAME TO elsewhere"))
    reporting = asyncio.create_task(
        collectors._report_to_database(context(tmp_path, "collect-1"), engine, report)
    )
    await until(lambda: len(asked) > 1)
    async with engine.begin() as connection:
        await connection.execute(text("ALTER TABLE elsewhere RENAME TO worker_reports"))
    while not (seen := await read_reports(engine)):
        await asyncio.sleep(0.01)
    reporting.cancel()
    assert (seen[0].report.pid or 0) > 1


@asynccontextmanager
async def passing_on(url: str | None) -> AsyncIterator[RecordingLogger]:
    """An edge that reports there."""
    workers, logger = Workers(SystemClock()), RecordingLogger()
    workers.record(Report(worker="proxy-1", revision=1))
    settings = Settings(control_url=url, edge_token=TOKEN if url else None)
    task = asyncio.create_task(edge.pass_on(workers, settings, logger))  # type: ignore[arg-type]
    try:
        yield logger
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_refusal_is_told_once_with_its_reason_and_again_after_it_was_over() -> None:
    refusing = answering(403, 403, 200, 403, body=b"not bound to namespace north")
    async with refusing as (url, tokens), passing_on(url) as logger:
        await until(lambda: len(tokens) > 5)
    assert logger.named(REFUSAL) == [{"reason": "403 not bound to namespace north"}] * 2
    assert set(tokens) == {"Bearer wt_edge"}


async def test_a_control_that_does_not_answer_is_told_once() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        async with passing_on(f"http://127.0.0.1:{nobody.getsockname()[1]}") as logger:
            await until(lambda: logger.entries)
            for _ in range(10):
                await asyncio.sleep(0.01)
    [entry] = logger.named(REFUSAL)
    assert entry["reason"].startswith("no answer: ")


async def test_an_edge_that_has_nowhere_to_report_says_what_to_give() -> None:
    async with passing_on(None) as logger:
        await until(lambda: logger.entries)
    [(said, _)] = logger.entries
    assert "WEIR_CONTROL_URL and WEIR_EDGE_TOKEN" in said
