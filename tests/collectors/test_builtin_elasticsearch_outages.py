"""A worker and a real Elasticsearch that is in a mood: every event is a document once, a dead letter, or waits."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from elasticsearch import AsyncElasticsearch
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.collectors.conftest import Start, rows, stored_ids
from tests.fakes.event_log import FakeLog
from tests.fakes.gateway_events import analytics, plugin, proxy_log
from tests.fakes.plugin_host import FakeFeed
from tests.support.elastic_front import (
    ElasticFront,
    Mood,
    deaf,
    elastic_front,
    forgetful,
    honest,
    refusing,
)
from tests.support.gateway import eventually

from weir_collectors.redrive_requests import request_collector, request_letter
from weir_collectors.tables import records_analytics, records_proxy_logs
from weir_collectors.tables_dead_letters import dead_letter_ranges, dead_letters
from weir_core.clock import SystemClock
from weir_core.snapshot import Snapshot
from weir_host.host import PluginHost

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

COMMAND = "python://weir_collectors.builtin.elasticsearch:ElasticsearchCollector"
Serve = Callable[..., Awaitable[None]]


@pytest.fixture
async def front(elasticsearch: str) -> AsyncIterator[ElasticFront]:
    async with elastic_front(elasticsearch) as front:
        yield front


@pytest.fixture
def prefix() -> str:
    """How the indices of this test begin."""
    return f"t{uuid.uuid4().hex[:12]}"


@pytest.fixture
async def host(logger: Any) -> AsyncIterator[PluginHost]:
    """The real one."""
    host = PluginHost(
        runtime="gateway",
        hook_types=frozenset({"data_collection"}),
        gateway_reads=lambda: Snapshot(0, []),
        plugin_modules=None,
        edge_id="",
        edge_namespace="",
        logger=logger,
        clock=SystemClock(),
    )
    yield host
    await host.close()


@pytest.fixture
def serve(front: ElasticFront, prefix: str, feed: FakeFeed, host: PluginHost, start: Start) -> Serve:
    """Starts a worker whose one collector writes to the front; it has the collector's options."""

    async def serve(*, config: dict[str, Any] | None = None, **options: Any) -> None:
        settings = {"elasticsearch_url": front.url, "index_prefix": prefix, "flush_interval_ms": 0}
        sink = plugin(command=COMMAND, config=settings | (config or {}), **options)
        await host.apply(Snapshot(1, [sink]), 10.0)
        instance = host.get(sink.id)
        assert instance is not None
        assert (instance.state, instance.reason) == ("ready", "")
        feed.publish(1, [sink])
        start()

    return serve


@pytest.fixture
async def documents(elasticsearch: str, prefix: str) -> AsyncIterator[Callable[[], Awaitable[Counter[str]]]]:
    """How often each event is a document, in whatever index; they and their templates are gone afterwards."""
    async with AsyncElasticsearch(elasticsearch) as client:

        async def found() -> Counter[str]:
            await client.indices.refresh(index=f"{prefix}-*")
            hits = await client.search(index=f"{prefix}-*", size=10_000, source=["event_id"], version=True)
            assert {hit["_version"] for hit in hits["hits"]["hits"]} <= {1}, "a document was written again"
            return Counter(hit["_source"]["event_id"] for hit in hits["hits"]["hits"])

        yield found
        await client.indices.delete_index_template(name=f"{prefix}-*")
        await client.cluster.delete_component_template(name=f"{prefix}*")
        names = await client.indices.get(index=f"{prefix}-*")
        for name in names:
            await client.indices.delete(index=name)


Documents = Callable[[], Awaitable[Counter[str]]]


def ids(events: list[Any]) -> Counter[str]:
    return Counter(event.event_id for event in events)


async def test_one_document_in_a_hundred_that_does_not_fit_the_mapping_is_a_dead_letter_alone(
    serve: Serve, log: FakeLog, engine: AsyncEngine, documents: Documents
) -> None:
    events = [analytics(cost="ruin" if number % 100 == 50 else "0.5") for number in range(400)]
    log.append(*events)
    await serve()
    await log.until_all_committed()
    misfits = {event.event_id for event in events if event.cost == "ruin"}
    assert await documents() == ids([event for event in events if event.event_id not in misfits])
    letters = await rows(engine, dead_letters)
    assert (
        {letter.event_id for letter in letters} == misfits == set(await stored_ids(engine, records_analytics))
    )
    assert len(letters) == 4
    assert {(letter.retryable, letter.tries) for letter in letters} == {(False, 1)}
    assert all("document_parsing_exception" in letter.reason for letter in letters)


@pytest.mark.parametrize(
    "mood",
    [
        pytest.param(refusing(429), id="429"),
        pytest.param(refusing(503), id="503"),
        pytest.param(deaf, id="no answer"),
        pytest.param(forgetful, id="a lost answer"),
    ],
)
async def test_an_outage_that_is_waited_out_costs_and_doubles_nothing(
    mood: Mood, serve: Serve, log: FakeLog, front: ElasticFront, engine: AsyncEngine, documents: Documents
) -> None:
    before, during = ([proxy_log() for _ in range(300)] for _ in range(2))
    log.append(*before)
    await serve(on_outage="pause", config={"request_timeout_seconds": 0.2})
    await log.until_all_committed()
    front.mood = mood
    log.append(*during)
    await front.asked(8)
    assert log.offset("weir.deciding.proxy-log") == len(before), "something was called handled"
    front.mood = honest
    await log.until_all_committed()
    assert await documents() == ids(before + during)
    assert await rows(engine, dead_letters) == await rows(engine, dead_letter_ranges) == []
    assert await stored_ids(engine, records_proxy_logs) == []


async def test_events_of_an_outage_are_stored_and_a_redrive_brings_each_once(
    serve: Serve, log: FakeLog, front: ElasticFront, engine: AsyncEngine, documents: Documents
) -> None:
    events = [proxy_log() for _ in range(600)]
    await serve()
    await front.leave()
    log.append(*events)
    await log.until_all_committed()
    assert Counter(await stored_ids(engine, records_proxy_logs)) == ids(events)
    await front.open()

    async def redriven() -> bool:
        async with engine.begin() as connection:
            await request_collector(connection, "sink", SystemClock().wall_us())
        return len(await documents()) == len(events)

    await eventually(redriven, "every event is a document")
    assert await documents() == ids(events)
    assert Counter(await stored_ids(engine, records_proxy_logs)) == ids(events)


async def test_redriving_a_dead_letter_whose_document_was_written_after_all_gives_one(
    serve: Serve, log: FakeLog, front: ElasticFront, engine: AsyncEngine, documents: Documents
) -> None:
    event = proxy_log()
    front.mood = forgetful
    log.append(event)
    await serve(max_tries=1)
    await log.until_all_committed()
    [letter] = await rows(engine, dead_letters)
    assert await documents() == ids([event]), "it was written, and nobody was told"
    front.mood = honest
    async with engine.begin() as connection:
        await request_letter(connection, letter.id, SystemClock().wall_us())

    async def redriven() -> bool:
        return [row.state for row in await rows(engine, dead_letters)] == ["redriven"]

    await eventually(redriven, "the letter is redriven")
    assert await documents() == ids([event])


async def test_replaying_everything_gives_the_same_documents(
    serve: Serve, log: FakeLog, documents: Documents, engine: AsyncEngine
) -> None:
    events = [proxy_log(timestamp=f"2026-01-{1 + number % 3:02d}T00:00:00Z") for number in range(300)]
    log.append(*events)
    await serve()
    await log.until_all_committed()
    first = await documents()
    log.append(*events)
    await log.until_all_committed()
    assert await documents() == first == ids(events)
    assert await rows(engine, dead_letters) == []
