"""``python -m bench.elasticsearch``: a worker beside the bare client that writes the same documents.

The bare client has every document in memory, as the objects that a program would hand to it, in requests as
large as the worker's. The worker reads the spool, makes the documents, keeps account of each event, and
commits. Both run in this process, in turns, so CPU time compares them whatever else the machine does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog
from elasticsearch import AsyncElasticsearch
from rich.console import Console
from tests.support.servers.elasticsearch import ElasticsearchServer

from bench.spooled import fill_spool
from bench.turns import Turn, print_turns, timed
from weir_collectors.builtin.elasticsearch import ElasticsearchCollector, ElasticsearchConfig, connect
from weir_collectors.builtin.elasticsearch_templates import install_templates
from weir_collectors.builtin.packing import Full, Item, in_requests
from weir_collectors.database import create_engine
from weir_collectors.tables import metadata
from weir_collectors.worker import CollectorWorker, WorkerSettings
from weir_core.clock import SystemClock
from weir_core.objects import Plugin
from weir_core.snapshot import Snapshot
from weir_host.host import PluginHost
from weir_sdk import Analytics, BudgetUsage, Event, ProxyLog
from weir_streams.embedded import EmbeddedLog
from weir_streams.events import ANALYTICS_TOPIC, BUDGET_USAGE_TOPIC, EVENT_TOPICS, PROXY_LOG_TOPIC
from weir_streams.log import Consumer, Partition
from weir_streams.spool_ranges import SpoolRanges

_AT_ONCE: Final = 4096
_LOOK_EVERY_S: Final = 0.02
_MESSAGES: Final[Mapping[str, type[Event]]] = {
    PROXY_LOG_TOPIC: ProxyLog,
    ANALYTICS_TOPIC: Analytics,
    BUDGET_USAGE_TOPIC: BudgetUsage,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 0."""
    parser = argparse.ArgumentParser(prog="python -m bench.elasticsearch", description=__doc__)
    parser.add_argument("--requests", type=int, default=5_000, help="event families (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each (%(default)s)")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.ERROR)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="weir-bench-")))
        server = ElasticsearchServer(work / "elasticsearch")
        stack.callback(server.stop)
        server.start()
        fill_spool(work / "data", options.requests)
        bare, worker = asyncio.run(_turns(work / "data", server.url, options.rounds))
    print_turns(Console(), "Spool to Elasticsearch", bare, "worker", worker)
    return 0


async def _turns(root: Path, url: str, rounds: int) -> tuple[list[Turn], list[Turn]]:
    events = await _read(root)
    count = sum(map(len, events))
    bare, worker = [], []
    for turn in range(-1, rounds):
        measured = await _bare_turn(url, events, count), await _worker_turn(root, url, count)
        # The first turn of each warms the server up, which compiles what it is asked for most.
        if turn >= 0:
            bare.append(measured[0])
            worker.append(measured[1])
    return bare, worker


async def _bare_turn(url: str, events: Sequence[Sequence[Event]], count: int) -> Turn:
    config = ElasticsearchConfig(elasticsearch_url=url, index_prefix=f"b{uuid.uuid4().hex}")
    requests = [list(_bulk_requests(kind, config)) for kind in events]
    client = connect(config)
    await install_templates(client, config.index_prefix)

    async def send_all() -> None:
        await asyncio.gather(*(_send(client, kind) for kind in requests))

    turn = await timed(count, send_all())
    await _clean_up(client, config.index_prefix, count)
    return turn


def _bulk_requests(events: Sequence[Event], config: ElasticsearchConfig) -> Iterator[list[Any]]:
    """The collector's own requests, as the objects that a program would hand to the client."""
    collector = ElasticsearchCollector()
    collector.config = config
    items = (Item(event, collector.encode(event)) for event in events)
    for request in in_requests(items, Full(config.batch_size, config.batch_bytes)):
        yield [json.loads(line) for item in request for line in item.data.splitlines()]


async def _send(client: AsyncElasticsearch, requests: Sequence[list[Any]]) -> None:
    for request in requests:
        answer = await client.bulk(operations=request)
        assert not answer["errors"], "a document was refused"


async def _worker_turn(root: Path, url: str, count: int) -> Turn:
    logger: Any = structlog.get_logger("weir.bench")
    prefix = f"w{uuid.uuid4().hex}"
    clock = SystemClock()
    engine = create_engine(f"sqlite:///{root / f'{prefix}.db'}")
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    plugin = Plugin(
        id=1,
        name="es",
        slug="es",
        command="python://weir_collectors.builtin.elasticsearch:ElasticsearchCollector",
        config={"elasticsearch_url": url, "index_prefix": prefix},
        hook_types=("data_collection",),
    )
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
    snapshot = Snapshot(1, [plugin])
    await host.apply(snapshot, 30.0)
    log = _FreshLog(EmbeddedLog(root, clock=clock, logger=logger), prefix)
    worker = CollectorWorker(
        name="bench",
        log=log,
        reader=SpoolRanges(root, clock.monotonic),
        feed=_OneSnapshot(snapshot),
        host=host,
        engine=engine,
        clock=clock,
        logger=logger,
        settings=WorkerSettings(),
    )
    stop = asyncio.Event()

    async def work() -> None:
        working = asyncio.create_task(worker.run(stop))
        # Nothing tells how much is handled; the count can only be looked at.
        while sum(one.handled for one in worker.status().collectors) < count:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_EVERY_S)
        stop.set()
        await working

    turn = await timed(count, work())
    await host.close()
    await log.close()
    await engine.dispose()
    client = connect(ElasticsearchConfig(elasticsearch_url=url))
    await _clean_up(client, prefix, count)
    return turn


async def _clean_up(client: AsyncElasticsearch, prefix: str, count: int) -> None:
    """Make sure of the documents, and leave the server as it was."""
    await client.indices.refresh(index=f"{prefix}-*")
    found = (await client.count(index=f"{prefix}-*"))["count"]
    assert found == count, f"{found} documents instead of {count}"
    for name in await client.indices.get(index=f"{prefix}-*"):
        await client.indices.delete(index=name)
    await client.close()


class _OneSnapshot:
    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    async def wait_newer(self, revision: int) -> Snapshot:
        if revision >= self._snapshot.revision:
            await asyncio.Event().wait()
        return self._snapshot


class _FreshLog:
    """A log whose groups begin at its beginning."""

    def __init__(self, log: EmbeddedLog, groups: str) -> None:
        self._log = log
        self._groups = groups

    async def consumer(
        self, group: str, topics: Sequence[str], *, start: Mapping[Partition, int] | None = None
    ) -> Consumer:
        return await self._log.consumer(f"{self._groups}.{group}", topics, start=start)

    async def close(self) -> None:
        await self._log.close()


async def _read(root: Path) -> Sequence[Sequence[Event]]:
    """Every event of the spool, by kind, as a collector is handed it."""
    log = EmbeddedLog(root, clock=SystemClock(), logger=structlog.get_logger("weir.bench"))
    found: list[list[Event]] = []
    for topic in EVENT_TOPICS:
        consumer = await log.consumer(f"bench.read.{topic}", [topic])
        decoder = msgspec.json.Decoder(_MESSAGES[topic])
        found.append([])
        while records := await consumer.poll(_AT_ONCE, 0.5):
            found[-1] += [decoder.decode(record.value) for record in records]
        await consumer.close()
    await log.close()
    return found


if __name__ == "__main__":
    raise SystemExit(main())
