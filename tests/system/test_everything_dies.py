"""Every process of an installation dies by SIGKILL, brokers and databases too, and the books are right.

``WEIR_TEST_SEED`` gives the kills another order and other moments.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from elasticsearch import AsyncElasticsearch
from tests.support.books import check_the_books, load_of
from tests.support.documents import add_collector, documents
from tests.support.gateway import eventually
from tests.support.load import Load
from tests.support.records import KINDS
from tests.support.topology import CHILDREN, SERVERS, Topology, topology
from tests.support.world import CHAT, QUESTION

from weir_cli.mock_upstream.process import running

pytestmark = [
    pytest.mark.system,
    pytest.mark.crash,
    pytest.mark.timeout(400),
    pytest.mark.usefixtures("kafka_programs", "elasticsearch_programs"),
]

PREFIX = "everything"
# Slow enough that every kill finds calls under way, and that one machine can hold all of it.
PACE = {"first_byte_ms": 150, "chunk_ms": 20}

Events = list[dict[str, Any]]


async def test_whatever_dies_every_event_is_recorded_or_a_document_and_none_is_there_twice(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    dice = random.Random(int(os.environ.get("WEIR_TEST_SEED", "20261123")))
    with running(tmp_path / "calls.jsonl", **PACE) as upstream:
        async with topology(tmp_path, upstream) as at:
            await add_collector(at.gateway, at.elasticsearch.url, PREFIX)
            load = await load_of(at.world, callers=6)
            load.start()
            async with asyncio.TaskGroup() as killing:
                killing.create_task(kill_each(at, SERVERS, dice, pause_s=1.5))
                killing.create_task(kill_each(at, (*CHILDREN, "worker") * 2, dice, pause_s=1.5))
            async with AsyncElasticsearch(at.elasticsearch.url, request_timeout=30) as client:
                await handled_again(client, load)
                await load.stop()
                assert not load.refused, "a request was refused because something else was away"
                records, written = await settled(at, client, load)
                await check_a_redrive(at, client, records, written)
            assert await at.worker.stop() == 0
            assert await at.gateway.stop() == 0
    union = {kind: list((by_id(records[kind]) | by_id(written[kind])).values()) for kind in KINDS}
    check_the_books(union, load, upstream)
    for kind in KINDS:
        for place in (records[kind], written[kind]):
            assert len(by_id(place)) == len(place), "an event is there twice"
        assert written[kind], "Elasticsearch has nothing"
        overlap = len(by_id(records[kind]).keys() & by_id(written[kind]).keys())
        record_property(
            kind,
            f"{len(records[kind])} records and {len(written[kind])} documents of {len(union[kind])} events, "
            f"{overlap} in both",
        )
    assert len(load.completed) > 100
    assert load.torn, "no kill found a call under way"


async def kill_each(at: Topology, victims: Sequence[str], dice: random.Random, *, pause_s: float) -> None:
    """Kill them one by one in a random order, at random moments."""
    for victim in dice.sample(victims, len(victims)):
        await asyncio.sleep(dice.uniform(0.2, 2 * pause_s))  # the random moment is the test
        await at.kill(victim, outage_s=dice.uniform(0.0, 3.0))


def by_id(events: Events) -> dict[str, dict[str, Any]]:
    return {event["event_id"]: event for event in events}


async def handled_again(client: AsyncElasticsearch, load: Load) -> None:
    """Wait until a call that was made after all kills is a document: everybody has found back to work."""
    before = set(load.completed)

    async def handled() -> bool:
        found = {document["request_id"] for document in await documents(client, PREFIX, "budget-usage")}
        return bool(found & (set(load.completed) - before))

    await eventually(handled, "new calls are documents", within_s=60)


async def settled(
    at: Topology, client: AsyncElasticsearch, load: Load
) -> tuple[dict[str, Events], dict[str, Events]]:
    """All records and all documents, once there is one or the other of everything that was asked."""
    asked = {call.headers["x-request-id"] for call in at.world.upstream.calls()} | set(load.completed)
    records: dict[str, Events] = {}
    written: dict[str, Events] = {}

    async def complete() -> bool:
        for kind in KINDS:
            records[kind] = await at.gateway.records(kind)
            written[kind] = await documents(client, PREFIX, kind)
        return all(
            asked <= {event["request_id"] for event in records[kind] + written[kind]} for kind in KINDS
        )

    await eventually(complete, "every event is a record or a document", within_s=120)
    # Events come in order, so what was there before this call has been worked off when it has.
    marker = await at.world.client.post(CHAT, json=QUESTION)
    assert marker.status_code == 200, marker.text
    asked.add(marker.headers["x-request-id"])
    load.completed[marker.headers["x-request-id"]] = "json"
    await eventually(complete, "one more call is a record or a document")
    return records, written


async def check_a_redrive(
    at: Topology, client: AsyncElasticsearch, records: dict[str, Events], written: dict[str, Events]
) -> None:
    """What Elasticsearch missed is redriven, and then every event is a document, once."""
    for kind in KINDS:

        async def redriven(kind: str = kind) -> bool:
            asked = await at.gateway.api.post("/api/v1/dead-letters/redrive?collector=es")
            assert asked.status_code == 202
            found = await documents(client, PREFIX, kind)
            assert len(by_id(found)) == len(found), "a redrive wrote an event again"
            return by_id(found).keys() == by_id(records[kind] + written[kind]).keys()

        await eventually(redriven, f"every event of {kind} is a document", within_s=60)
        assert await at.gateway.records(kind) == records[kind], "a redrive changed records"
