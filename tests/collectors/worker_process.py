"""A collector process for the crash tests: the real log, host and database, on a data directory.

Run as ``python worker_process.py <data dir> [hold]``. Prints ``stored`` each time that a batch is in
the database and its offset is not committed yet; with ``hold`` it then waits to be killed. Ends by itself when
everything is committed.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog

from weir_collectors.backoff import Backoff
from weir_collectors.database import create_engine
from weir_collectors.kinds import EventKind
from weir_collectors.restarting import RestartSettings
from weir_collectors.worker import CollectorWorker, WorkerSettings
from weir_core.clock import SystemClock
from weir_core.objects import Plugin
from weir_core.snapshot import Snapshot
from weir_host.host import PluginHost
from weir_sdk import BasePlugin, Context, DataCollectionResponse, ProxyLog
from weir_streams.embedded import EmbeddedLog
from weir_streams.log import Consumer, Partition
from weir_streams.spool_ranges import SpoolRanges


class EvenApps(BasePlugin):
    """Handles the events of apps with an even number, into a file with one event id a line."""

    async def initialize(self, ctx: Context, config: dict[str, Any]) -> None:
        self._sink = Path(config["sink"])

    async def handle_proxy_log(self, ctx: Context, log: ProxyLog) -> DataCollectionResponse:
        await asyncio.sleep(0)
        handled = log.app_id is not None and log.app_id % 2 == 0
        if handled:
            with self._sink.open("a") as sink:
                sink.write(f"{log.event_id}\n")
        return DataCollectionResponse(handled=handled)


class AnnouncingConsumer:
    """Says ``stored`` before it commits, and knows when nothing is left to commit."""

    def __init__(self, consumer: Consumer, hold: bool) -> None:
        self._consumer = consumer
        self._hold = hold
        self.poll = consumer.poll
        self.lost = consumer.lost
        self.close = consumer.close
        self.drained = asyncio.Event()

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        print("stored", flush=True)
        if self._hold:
            await asyncio.Event().wait()
        await self._consumer.commit(offsets)
        await self.lag()

    async def lag(self) -> Mapping[Partition, int]:
        lag = await self._consumer.lag()
        if lag and not any(lag.values()):
            self.drained.set()
        return lag


class AnnouncingLog:
    def __init__(self, log: EmbeddedLog, hold: bool) -> None:
        self._log = log
        self._hold = hold
        self.consumers: list[AnnouncingConsumer] = []

    async def consumer(
        self, group: str, topics: Sequence[str], *, start: Mapping[Partition, int] | None = None
    ) -> Consumer:
        consumer = AnnouncingConsumer(await self._log.consumer(group, topics, start=start), self._hold)
        self.consumers.append(consumer)
        return consumer

    async def close(self) -> None:
        await self._log.close()


class OneSnapshot:
    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    async def wait_newer(self, revision: int) -> Snapshot:
        if revision >= self._snapshot.revision:
            await asyncio.Event().wait()
        return self._snapshot


async def run(root: Path, hold: bool) -> None:
    logger = structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr), wrapper_class=structlog.make_filtering_bound_logger(30)
    )
    clock = SystemClock()
    engine = create_engine(f"sqlite:///{root / 'weir.db'}")
    host = PluginHost(
        runtime="gateway",
        hook_types=frozenset({"data_collection"}),
        gateway_reads=lambda: worker.snapshot,
        plugin_modules=None,
        edge_id="",
        edge_namespace="",
        logger=logger,
        clock=clock,
    )
    plugin = Plugin(
        id=1,
        name="even apps",
        slug="even-apps",
        command="python://worker_process:EvenApps",
        config={"sink": str(root / "sink")},
        hook_types=("data_collection",),
    )
    log = AnnouncingLog(EmbeddedLog(root, clock=clock, logger=logger), hold)
    worker = CollectorWorker(
        name="worker",
        log=log,
        reader=SpoolRanges(root, clock.monotonic),
        feed=OneSnapshot(Snapshot(1, [plugin])),
        host=host,
        engine=engine,
        clock=clock,
        logger=logger,
        settings=WorkerSettings(restart=RestartSettings(backoff=Backoff(first_s=0.01, longest_s=0.05))),
    )
    stop = asyncio.Event()
    working = asyncio.create_task(worker.run(stop))
    while len(log.consumers) < len(EventKind):
        await asyncio.sleep(0.01)
    for consumer in log.consumers:
        await consumer.drained.wait()
    stop.set()
    await working
    await host.close()
    await log.close()
    await engine.dispose()


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), "hold" in sys.argv[2:]))
