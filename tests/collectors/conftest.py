"""Fakes and builders for the collectors' tests: a log in memory, plugins as functions, a real database."""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections import defaultdict
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlalchemy import Table, select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from weir_collectors.backoff import Backoff
from weir_collectors.breaker import Breaker, BreakerSettings
from weir_collectors.consuming import GroupSettings
from weir_collectors.database import create_engine
from weir_collectors.records import RecordStore
from weir_collectors.restarting import RestartSettings
from weir_collectors.tables import metadata
from weir_collectors.worker import CollectorWorker, WorkerSettings
from weir_core.clock import SystemClock, rfc3339
from weir_core.objects import Attachment, CollectorOptions, Llm, Plugin
from weir_core.snapshot import Snapshot
from weir_sdk import DataCollectionResponse
from weir_streams.admission import Admission
from weir_streams.events import Analytics, BudgetUsage, Event, Latency, ProxyLog, encode
from weir_streams.log import LogRecord, Partition
from weir_streams.settings import SpoolSettings
from weir_streams.spool import Spool

MOMENT_US = 1_800_000_000_000_000
_numbers = itertools.count(1)


def proxy_log(**changes: Any) -> ProxyLog:
    """A proxy log like any other, but for what the test names."""
    number = next(_numbers)
    fields: dict[str, Any] = {
        "event_id": f"log-{number}",
        "request_id": f"request-{number}",
        "timestamp": rfc3339(MOMENT_US + number),
        "app_id": 1,
        "llm_id": 2,
        "model_name": "gpt-4o",
        "method": "POST",
        "path": "/v1/chat/completions",
        "response_code": 200,
        "outcome": "served",
        "latency_ms": Latency(total=1.0),
    }
    return ProxyLog(**(fields | changes))


def analytics(**changes: Any) -> Analytics:
    number = next(_numbers)
    fields: dict[str, Any] = {
        "event_id": f"analytics-{number}",
        "request_id": f"request-{number}",
        "timestamp": rfc3339(MOMENT_US + number),
        "app_id": 1,
        "llm_id": 2,
    }
    return Analytics(**(fields | changes))


def budget_usage(**changes: Any) -> BudgetUsage:
    number = next(_numbers)
    fields: dict[str, Any] = {
        "event_id": f"budget-{number}",
        "request_id": f"request-{number}",
        "timestamp": rfc3339(MOMENT_US + number),
        "app_id": 1,
        "llm_id": 2,
    }
    return BudgetUsage(**(fields | changes))


def plugin(plugin_id: int = 1, slug: str = "sink", **changes: Any) -> Plugin:
    """An active collector; ``collector`` options may be given by their own names."""
    options = {
        name: changes.pop(name) for name in list(changes) if name in CollectorOptions.__struct_fields__
    }
    fields: dict[str, Any] = {
        "id": plugin_id,
        "name": slug,
        "slug": slug,
        "command": "python://example:Collector",
        "hook_types": ("data_collection",),
        "collector": CollectorOptions(**options),
    }
    return Plugin(**(fields | changes))


def llm(llm_id: int, *plugin_ids: int) -> Llm:
    return Llm(
        id=llm_id,
        name=f"llm {llm_id}",
        slug=f"llm-{llm_id}",
        vendor="openai",
        api_endpoint="http://localhost",
        attachments=tuple(Attachment(plugin_id=plugin_id) for plugin_id in plugin_ids),
    )


def record(value: bytes, offset: int = 0, topic: str = "weir.proxy-log.v1", name: str = "spool") -> LogRecord:
    return LogRecord(Partition(topic, name), offset, b"1", value)


class FakeLog:
    """An ``EventLog`` in memory; what groups committed outlives their consumers."""

    def __init__(self) -> None:
        self.records: dict[Partition, list[LogRecord]] = defaultdict(list)
        self.committed: dict[tuple[str, Partition], int] = {}
        self.polls_to_fail: list[Exception] = []
        self.commits_to_fail: list[Exception] = []
        self.open_consumers = 0
        self.may_join = asyncio.Event()
        """Set unless a test keeps new members waiting for their groups."""
        self.may_join.set()
        self.consumers: dict[str, FakeConsumer] = {}
        """The newest member of each group."""
        self._changed = asyncio.Condition()

    def append(self, *events: Event, partition: str = "spool") -> None:
        for event in events:
            encoded = encode(event)
            self.append_raw(encoded.topic, encoded.value, key=encoded.key, partition=partition)

    def append_raw(self, topic: str, value: bytes, *, key: bytes = b"1", partition: str = "spool") -> None:
        place = Partition(topic, partition)
        self.records[place].append(LogRecord(place, len(self.records[place]), key, value))

    def offset(self, group: str, topic: str = "weir.proxy-log.v1", partition: str = "spool") -> int:
        return self.committed.get((group, Partition(topic, partition)), 0)

    async def until_committed(self, group: str, partition: Partition, offset: int) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self.committed.get((group, partition), 0) >= offset)

    async def until_all_committed(self) -> None:
        """Every record has been read and committed by its kind's deciding group."""
        for partition, records in list(self.records.items()):
            group = "weir.deciding." + partition.topic.removeprefix("weir.").removesuffix(".v1")
            await self.until_committed(group, partition, len(records))

    async def committing(self, offsets: Mapping[tuple[str, Partition], int]) -> None:
        async with self._changed:
            self.committed.update(offsets)
            self._changed.notify_all()

    async def consumer(
        self, group: str, topics: Sequence[str], *, start: Mapping[Partition, int] | None = None
    ) -> FakeConsumer:
        await self.may_join.wait()
        self.open_consumers += 1
        self.consumers[group] = FakeConsumer(self, group, topics, start)
        return self.consumers[group]

    async def close(self) -> None:
        pass

    async def read_range(
        self, partition: Partition, first: int, last: int
    ) -> AsyncGenerator[Sequence[LogRecord], None]:
        records = [item for item in self.records[partition] if first <= item.offset <= last]
        for start in range(0, len(records), 100):
            yield records[start : start + 100]


class FakeConsumer:
    def __init__(
        self, log: FakeLog, group: str, topics: Sequence[str], start: Mapping[Partition, int] | None
    ) -> None:
        self._log = log
        self._group = group
        self._topics = topics
        self._start = start
        self._next: dict[Partition, int] = {}
        self._lost: set[Partition] = set()

    def lose(self, partition: Partition, *, and_get_it_back: bool) -> None:
        """As a rebalance would; what comes back is read from the committed offset on."""
        self._lost.add(partition)
        committed = self._log.committed.get((self._group, partition), 0)
        self._next[partition] = committed if and_get_it_back else sys.maxsize

    def lost(self) -> Collection[Partition]:
        lost, self._lost = self._lost, set()
        return lost

    async def poll(self, max_records: int, timeout_s: float) -> Sequence[LogRecord]:
        if self._log.polls_to_fail:
            raise self._log.polls_to_fail.pop()
        found: list[LogRecord] = []
        for partition, records in self._partitions():
            start = self._next.setdefault(partition, self._first(partition))
            taken = records[start : start + max_records - len(found)]
            self._next[partition] = start + len(taken)
            found.extend(taken)
        await asyncio.sleep(0 if found else min(timeout_s, 0.002))
        return found

    def _first(self, partition: Partition) -> int:
        committed = self._log.committed.get((self._group, partition), 0)
        return committed if self._start is None else self._start.get(partition, 0)

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        assert offsets, "to some logs, no offsets means all"
        await asyncio.sleep(0)
        if self._log.commits_to_fail:
            raise self._log.commits_to_fail.pop()
        await self._log.committing({(self._group, place): offset for place, offset in offsets.items()})

    async def lag(self) -> Mapping[Partition, int]:
        return {
            partition: len(records) - self._log.committed.get((self._group, partition), 0)
            for partition, records in self._partitions()
        }

    async def close(self) -> None:
        self._log.open_consumers -= 1

    def _partitions(self) -> list[tuple[Partition, list[LogRecord]]]:
        return [item for item in list(self._log.records.items()) if item[0].topic in self._topics]


Handler = Callable[[Any], Awaitable[DataCollectionResponse | None] | DataCollectionResponse | None]


class FakeInstance:
    """An ``Instance`` whose handlers are the functions a test gives it."""

    def __init__(self, plugin_id: int = 1, **handlers: Callable[..., Awaitable[Any]]) -> None:
        self.plugin_id = plugin_id
        self.name = f"plugin {plugin_id}"
        self.state = "ready"
        self.reason = ""
        self.restarts = 0
        self.handlers = handlers
        self.calls: list[Any] = []

    def implements(self, hook: str) -> bool:
        return hook.removeprefix("handle_") in self.handlers

    def turn(self, _handler: str) -> AbstractAsyncContextManager[None]:
        return nullcontext()

    async def proxy_log(self, log: Any) -> Any:
        return await self._call("proxy_log", log)

    async def analytics(self, event: Any) -> Any:
        return await self._call("analytics", event)

    async def budget_usage(self, event: Any) -> Any:
        return await self._call("budget_usage", event)

    async def batch(self, events: Sequence[Any]) -> Any:
        return await self._call("batch", events)

    async def _call(self, hook: str, message: Any) -> Any:
        self.calls.append(message)
        return await self.handlers[hook](message)


class FakeHost:
    """A ``PluginHost`` with the instances a test puts there."""

    def __init__(self) -> None:
        self.instances: dict[int, FakeInstance] = {}
        self.applied: list[int] = []
        self.asked_when_applied: Callable[[], object] = lambda: None

    def put(self, plugin_id: int = 1, **handlers: Callable[..., Awaitable[Any]]) -> FakeInstance:
        self.instances[plugin_id] = FakeInstance(plugin_id, **handlers)
        return self.instances[plugin_id]

    def get(self, plugin_id: int) -> FakeInstance | None:
        return self.instances.get(plugin_id)

    async def apply(self, snapshot: Snapshot, ready_within: float = 0.5) -> None:
        self.asked_when_applied()
        self.applied.append(snapshot.revision)


class FakeFeed:
    """Hands out the snapshots that a test publishes."""

    def __init__(self) -> None:
        self._latest: Snapshot | None = None
        self._changed = asyncio.Event()

    def publish(self, revision: int, objects: Iterable[Any] = ()) -> None:
        self._latest = Snapshot(revision, objects)
        self._changed.set()

    async def wait_newer(self, revision: int) -> Snapshot:
        while self._latest is None or self._latest.revision <= revision:
            self._changed.clear()
            await self._changed.wait()
        return self._latest


async def handles(_message: Any) -> DataCollectionResponse:
    return DataCollectionResponse(handled=True)


async def passes(_message: Any) -> DataCollectionResponse:
    return DataCollectionResponse()


async def raises(_message: Any) -> DataCollectionResponse:
    raise RuntimeError("the sink choked")


async def hangs(_message: Any) -> DataCollectionResponse:
    await asyncio.Event().wait()
    raise AssertionError("never reached")


async def batch_handles(messages: Sequence[Any]) -> list[DataCollectionResponse]:
    return [DataCollectionResponse(handled=True) for _ in messages]


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
