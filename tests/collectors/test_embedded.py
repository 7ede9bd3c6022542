"""A worker on what it really runs on: spools, the embedded log, the plugin host and SQLite."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.collectors.conftest import Start, append_family, open_spool, rows, stored_ids
from tests.fakes.gateway_events import analytics, budget_usage, llm, plugin, proxy_log
from tests.fakes.plugin_host import FakeFeed

from weir_collectors.tables import (
    records_analytics,
    records_budget_usage,
    records_proxy_logs,
)
from weir_collectors.tables_dead_letters import dead_letter_ranges, dead_letters
from weir_core.clock import SystemClock
from weir_host.host import PluginHost
from weir_streams.embedded import EmbeddedLog
from weir_streams.spool import Spool

PLUGINS = """
import time

from weir_sdk import BasePlugin, DataCollectionResponse, PermanentError

class Handles(BasePlugin):
    async def handle_proxy_log(self, ctx, log):
        return DataCollectionResponse(handled=True)

class Passes(BasePlugin):
    def handle_proxy_log(self, ctx, log):
        time.sleep(0)

class Raises(BasePlugin):
    async def handle_proxy_log(self, ctx, log):
        raise RuntimeError("the sink choked")

class Refuses(BasePlugin):
    async def handle_proxy_log(self, ctx, log):
        raise PermanentError("the sink will never take this")

class Batches(BasePlugin):
    async def handle_batch(self, ctx, events):
        return [DataCollectionResponse(handled=event.app_id == 1) for event in events]

class DoesNotStart(BasePlugin):
    async def initialize(self, ctx, config):
        raise RuntimeError("no licence")

    async def handle_proxy_log(self, ctx, log):
        return DataCollectionResponse(handled=True)
"""


@pytest.fixture
def spool(tmp_path: Path) -> Any:
    spool = open_spool(tmp_path)
    yield spool
    spool.close()


@pytest.fixture
def embedded(tmp_path: Path, logger: Any) -> EmbeddedLog:
    return EmbeddedLog(tmp_path, clock=SystemClock(), logger=logger)


@pytest.fixture
async def real_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logger: Any
) -> AsyncIterator[PluginHost]:
    (tmp_path / "collectors_of_this_test.py").write_text(PLUGINS)
    monkeypatch.syspath_prepend(tmp_path)
    host = PluginHost(
        runtime="gateway",
        hook_types=frozenset({"data_collection"}),
        gateway_reads=lambda: None,
        plugin_modules=None,
        edge_id="",
        edge_namespace="",
        logger=logger,
        clock=SystemClock(),
    )
    yield host
    await host.close()


def collector(plugin_id: int, name: str, **options: Any) -> Any:
    return plugin(plugin_id, name.lower(), command=f"python://collectors_of_this_test:{name}", **options)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


async def test_spooled_families_end_where_the_collectors_say(
    start: Start,
    feed: FakeFeed,
    spool: Spool,
    embedded: EmbeddedLog,
    real_host: PluginHost,
    engine: AsyncEngine,
) -> None:
    feed.publish(
        1,
        [
            collector(1, "Handles"),
            collector(2, "Passes"),
            collector(3, "Raises"),
            collector(4, "Refuses"),
            collector(5, "DoesNotStart"),
            llm(1, 1),
            llm(2, 2),
            llm(3, 3),
            llm(4, 4),
            llm(5, 5),
            llm(6, 1, 2, 3, 4, 5),
        ],
    )
    running = start(log=embedded, host=real_host)
    for llm_id in range(1, 7):
        append_family(
            spool,
            proxy_log(event_id=f"log-of-{llm_id}", llm_id=llm_id),
            analytics(llm_id=llm_id),
            budget_usage(llm_id=llm_id),
        )
    await until(lambda: all(kind.decided == 6 for kind in running.worker.status().kinds))
    await running.stop()

    assert sorted(await stored_ids(engine, records_proxy_logs)) == [f"log-of-{n}" for n in (2, 3, 4, 5)]
    assert len(await rows(engine, records_analytics)) == 6
    assert len(await rows(engine, records_budget_usage)) == 6
    failures = {(row.event_id, row.collector): row for row in await rows(engine, dead_letters)}
    logs = {key: row for key, row in failures.items() if row.kind == "proxy-log"}
    assert sorted(logs) == [
        ("log-of-3", "raises"),
        ("log-of-4", "refuses"),
        ("log-of-5", "doesnotstart"),
        ("log-of-6", "raises"),
        ("log-of-6", "refuses"),
    ]
    assert logs["log-of-3", "raises"].tries == 3
    assert "the sink choked" in logs["log-of-3", "raises"].reason
    assert logs["log-of-4", "refuses"].tries == 1
    assert "no licence" in logs["log-of-5", "doesnotstart"].reason
    # Two failures of three tries are more than a breaker takes.
    (let_past,) = (row for row in await rows(engine, dead_letter_ranges) if row.kind == "proxy-log")
    assert (let_past.collector, let_past.events) == ("doesnotstart", 1)
    assert "no licence" in let_past.reason


async def test_a_real_batch_collector_decides_event_by_event(
    start: Start,
    feed: FakeFeed,
    spool: Spool,
    embedded: EmbeddedLog,
    real_host: PluginHost,
    engine: AsyncEngine,
) -> None:
    feed.publish(1, [collector(1, "Batches")])
    for number in range(100):
        append_family(spool, proxy_log(event_id=f"e{number}", app_id=number % 2))
    running = start(log=embedded, host=real_host)
    await until(lambda: running.worker.status().kinds[0].decided == 100)
    await running.stop()
    assert sorted(await stored_ids(engine, records_proxy_logs)) == sorted(f"e{n}" for n in range(0, 100, 2))
    assert running.worker.status().collectors[0].handled == 50
