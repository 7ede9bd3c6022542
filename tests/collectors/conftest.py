"""What the collectors' tests share: workers on a log in memory and a real database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog
from sqlalchemy import Table, select, text
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.fakes.event_log import FakeLog
from tests.fakes.gateway_events import MOMENT_US
from tests.fakes.plugin_host import FakeFeed, FakeHost

from weir_collectors.backoff import Backoff
from weir_collectors.breaker import Breaker, BreakerSettings
from weir_collectors.consuming import GroupSettings
from weir_collectors.database import create_engine
from weir_collectors.records import RecordStore
from weir_collectors.restarting import RestartSettings
from weir_collectors.tables import metadata
from weir_collectors.worker import CollectorWorker, WorkerSettings
from weir_core.clock import SystemClock
from weir_streams.admission import Admission
from weir_streams.events import Event
from weir_streams.settings import SpoolSettings
from weir_streams.spool import Spool

QUICK = Backoff(first_s=0.0, longest_s=0.0)
SETTINGS = WorkerSettings(
    groups=GroupSettings(
        database_backoff=Backoff(first_s=0.001, longest_s=0.01), grace_s=5.0, lag_every_s=0.01
    ),
    breaker=BreakerSettings(failures=5, probing=Backoff(first_s=0.01, longest_s=0.01)),
    collector_backoff=QUICK,
    restart=RestartSettings(backoff=Backoff(first_s=0.001, longest_s=0.01)),
    redrive_every_s=0.01,
    ready_within_s=0.0,
)
# No probe comes while a test runs, however long that takes: each would be a try of some event.
WITHOUT_PROBES = msgspec.structs.replace(
    SETTINGS, breaker=BreakerSettings(failures=5, probing=Backoff(first_s=3600.0, longest_s=3600.0))
)


def never_opens(*_of: Any) -> Breaker:
    """A breaker that stays closed, for tests of what it would cut short."""
    return Breaker(BreakerSettings(failures=10**9), SystemClock().monotonic)


BOTH_DATABASES = ("sqlite", pytest.param("postgresql", marks=pytest.mark.system))
"""For a test module: ``DATABASES = BOTH_DATABASES`` runs each of its tests that has an engine on either."""

only_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
"""For a test of such a module that drops tables, which on Postgres are shared with other tests."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Repeat the tests of a module for each of its ``DATABASES``."""
    databases = getattr(metafunc.module, "DATABASES", ())
    is_told = any(mark.args[0] == "database" for mark in metafunc.definition.iter_markers("parametrize"))
    if databases and "database_url" in metafunc.fixturenames and not is_told:
        metafunc.parametrize("database", databases, indirect=True)


@pytest.fixture
def database(request: pytest.FixtureRequest) -> str:
    """The kind of database that the test runs on."""
    kind: str = getattr(request, "param", "sqlite")
    return kind


@pytest.fixture
def database_url(database: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    if database == "sqlite":
        return f"sqlite:///{tmp_path / 'weir.db'}"
    url: str = request.getfixturevalue("shared_postgres")
    return url


@pytest.fixture
async def engine(database: str, database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database_url)
    async with engine.begin() as connection:
        if database == "sqlite":
            await connection.run_sync(metadata.create_all)
        else:
            await connection.execute(text(f"TRUNCATE {', '.join(metadata.tables)} RESTART IDENTITY"))
    yield engine
    await engine.dispose()


@pytest.fixture
def store(engine: AsyncEngine) -> RecordStore:
    return RecordStore(engine)


@pytest.fixture
def log() -> FakeLog:
    return FakeLog()


@pytest.fixture
def host() -> FakeHost:
    return FakeHost()


@pytest.fixture
def feed() -> FakeFeed:
    return FakeFeed()


@pytest.fixture
def logger() -> Any:
    return structlog.wrap_logger(
        structlog.testing.CapturingLogger(),
        processors=[],
        wrapper_class=structlog.make_filtering_bound_logger(0),
    )


class Running:
    """A worker in the background; ``stop`` ends it as SIGTERM would."""

    def __init__(self, worker: CollectorWorker) -> None:
        self.worker = worker
        self._stop = asyncio.Event()
        self._task = asyncio.create_task(worker.run(self._stop))

    async def stop(self) -> None:
        self._stop.set()
        await self._task

    async def abandon(self) -> None:
        """End it as a crash would: no grace, no last commit."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


Start = Callable[..., Running]


@pytest.fixture
async def start(
    log: FakeLog, feed: FakeFeed, host: FakeHost, engine: AsyncEngine, logger: Any
) -> AsyncIterator[Start]:
    """Starts workers on the test's log, feed, host and database; any of them may be replaced by name."""
    started: list[Running] = []

    def start_worker(**changes: Any) -> Running:
        parts: dict[str, Any] = {
            "name": "worker",
            "log": log,
            "reader": log,
            "feed": feed,
            "host": host,
            "engine": engine,
            "clock": SystemClock(),
            "logger": logger,
            "settings": SETTINGS,
        }
        started.append(Running(CollectorWorker(**(parts | changes))))
        return started[-1]

    yield start_worker
    for running in started:
        await running.abandon()


async def rows(engine: AsyncEngine, table: Table) -> list[Any]:
    """All rows of a table, oldest first."""
    async with engine.connect() as connection:
        return list((await connection.execute(select(table).order_by(table.c.id))).all())


async def stored_ids(engine: AsyncEngine, table: Table) -> list[str]:
    return [row.event_id for row in await rows(engine, table)]


def open_spool(root: Path) -> Spool:
    """A small spool below a data directory."""
    return Spool.open(
        root,
        settings=SpoolSettings(segment_bytes=256 * 1024, slots=16, slot_reserve_bytes=16 * 1024),
        clock=SystemClock(),
        logger=structlog.wrap_logger(structlog.testing.CapturingLogger(), processors=[]),
    )


def append_family(spool: Spool, *family: Event) -> None:
    """Admit a request and write its events, as the proxy does."""
    slot = spool.admit(
        Admission(
            request_id=family[0].request_id,
            started_us=MOMENT_US,
            llm_id=family[0].llm_id or 0,
            llm_slug="llm",
            vendor="openai",
            method="POST",
            path="/",
        )
    )
    spool.append(slot, family)
