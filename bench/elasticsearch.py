"""A worker with the Elasticsearch collector beside the bare client that writes the same documents.

The bare client has every document in memory, as the objects that a program would hand to it, in requests as
large as the worker's. The worker reads the spool, makes the documents, keeps account of each event, and
commits. Both run in this process, in turns, so CPU time compares them whatever else the machine does.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from elasticsearch import AsyncElasticsearch
from tests.support.servers.elasticsearch import ElasticsearchServer

from bench.spooled import fill_spool, read_spool
from bench.turns import Comparison, Turn, timed
from bench.working import worker_turn
from weir_collectors.builtin.elasticsearch import ElasticsearchCollector, ElasticsearchConfig, connect
from weir_collectors.builtin.elasticsearch_templates import install_templates
from weir_collectors.builtin.packing import Full, Item, in_requests
from weir_collectors.database import create_engine
from weir_collectors.tables import metadata
from weir_core.objects import Plugin
from weir_sdk import Analytics, BudgetUsage, Event, ProxyLog
from weir_streams.events import ANALYTICS_TOPIC, BUDGET_USAGE_TOPIC, PROXY_LOG_TOPIC

_MESSAGES: Final[Mapping[str, type[Event]]] = {
    PROXY_LOG_TOPIC: ProxyLog,
    ANALYTICS_TOPIC: Analytics,
    BUDGET_USAGE_TOPIC: BudgetUsage,
}


def measure(work: Path, requests: int, rounds: int) -> Comparison:
    """Start a server, and let both write the events of so many calls, so often.

    Raises:
        ServerUnavailableError, ServerFailedError: There is no Elasticsearch to write to.
    """
    server = ElasticsearchServer(work / "elasticsearch")
    server.start()
    try:
        fill_spool(work / "data", requests)
        return asyncio.run(_turns(work / "data", server.url, rounds))
    finally:
        server.stop()


async def _turns(root: Path, url: str, rounds: int) -> Comparison:
    records = await read_spool(root)
    events = [
        [msgspec.json.decode(one.value, type=kind) for one in records[topic]]
        for topic, kind in _MESSAGES.items()
    ]
    count = sum(map(len, events))
    bare, worker = [], []
    for turn in range(-1, rounds):
        measured = await _bare_turn(url, events, count), await _worker_turn(root, url, count)
        # The first turn of each warms the server up, which compiles what it is asked for most.
        if turn >= 0:
            bare.append(measured[0])
            worker.append(measured[1])
    return Comparison("worker to Elasticsearch", bare, worker)


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
    prefix = f"w{uuid.uuid4().hex}"
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
    turn = await worker_turn(
        root,
        engine,
        count,
        run=prefix,
        plugins=[plugin],
        done=lambda status: sum(one.handled for one in status.collectors),
    )
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
