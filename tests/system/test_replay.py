"""A day on Kafka, shown to a new collector: the same documents, and those of redriven dead letters, once."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from elasticsearch import AsyncElasticsearch
from tests.support.documents import add_collector, documents
from tests.support.gateway import eventually
from tests.support.kafka_topics import arrived
from tests.support.records import KINDS
from tests.support.world import CHAT, QUESTION, World, open_world
from tests.system.test_kafka_gateway import applied, kafka_options, weir

from weir_cli.mock_upstream.process import running
from weir_streams.events import DEAD_LETTER_TOPIC
from weir_streams.kafka.settings import KafkaSettings

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

CALLS = 30

Documents = dict[str, dict[str, Any]]


@pytest.fixture
async def client(elasticsearch: str, prefix: str) -> AsyncIterator[AsyncElasticsearch]:
    """A client of the shared server; what the test made is gone afterwards."""
    async with AsyncElasticsearch(elasticsearch) as client:
        yield client
        for name in await client.indices.get(index=f"{prefix}*"):
            await client.indices.delete(index=name)
        await client.indices.delete_index_template(name=f"{prefix}*")
        await client.cluster.delete_component_template(name=f"{prefix}*")


@pytest.fixture
def prefix() -> str:
    """How the indices of this test begin."""
    return f"t{uuid.uuid4().hex[:12]}"


async def test_a_replayed_day_gives_a_new_collector_the_same_documents_and_a_redrive_what_it_refused(
    kafka: str, elasticsearch: str, client: AsyncElasticsearch, prefix: str, tmp_path: Path
) -> None:
    settings = await applied(kafka)
    options = kafka_options(settings)
    late = f"{prefix}-late"
    with running(tmp_path / "calls.jsonl") as upstream:
        async with open_world(tmp_path / "data", upstream, **options) as world:
            await add_collector(world.gateway, elasticsearch, prefix)
            fitting = {await call(world) for _ in range(CALLS)}
            misfit = await call(world, {"x-request-id": "no-number"})
            first = await documents_of(client, prefix, {*fitting, misfit})
            await expect_numbers(client, late)
            await add_collector(world.gateway, elasticsearch, late, "late")
            day = ("--from", *day_of(first["analytics"]))
            replay = ("--collector", "late", *day, "--data-dir", str(tmp_path / "data"))
            done = await asyncio.to_thread(weir, options, "events", "replay", *replay)
            assert done.returncode == 0, done.stderr
            second = await documents_of(client, late, fitting)
            letters = await dead_letters(world, {misfit: len(KINDS)})
            assert all("document_parsing_exception" in letter["reason"] for letter in letters)
            await expect_notices(settings, letters)
            await take_anything(client, late)
            for letter in letters:
                redrive = f"/api/v1/dead-letters/{letter['id']}/redrive"
                assert (await world.gateway.api.post(redrive)).status_code == 202
            second = await documents_of(client, late, {*fitting, misfit})
            assert second == first == await documents_of(client, prefix, {*fitting, misfit})
            assert {kind: await world.gateway.records(kind) for kind in KINDS} == {kind: [] for kind in KINDS}


async def call(world: World, headers: dict[str, str] | None = None) -> str:
    """One call; return its request id."""
    answer = await world.client.post(CHAT, json=QUESTION, headers=headers)
    assert answer.status_code == 200
    request_id: str = answer.headers["x-request-id"]
    return request_id


async def documents_of(
    client: AsyncElasticsearch, prefix: str, request_ids: set[str]
) -> dict[str, Documents]:
    """By kind and event id, the documents, once there is one for each of these requests; no others."""
    found: dict[str, Documents] = {}
    for kind in KINDS:

        async def complete(kind: str = kind) -> bool:
            those = await documents(client, prefix, kind)
            found[kind] = {document["event_id"]: document for document in those}
            assert len(found[kind]) == len(those), "an event is there twice"
            return {document["request_id"] for document in those} == request_ids

        await eventually(complete, f"{kind} are documents", within_s=60)
        assert len(found[kind]) == len(request_ids)
    return found


def day_of(found: Documents) -> tuple[str, str, str]:
    """From the first moment of the day of the first document to that after the last one's."""
    moments = sorted(datetime.fromisoformat(document["timestamp"]) for document in found.values())
    begin, end = (f"{moment:%Y-%m-%dT00:00:00Z}" for moment in (moments[0], moments[-1] + timedelta(days=1)))
    return begin, "--to", end


async def expect_numbers(client: AsyncElasticsearch, prefix: str) -> None:
    """An admin's own mapping, which not every document fits."""
    fields = {"client_request_id": {"type": "long"}}
    await client.cluster.put_component_template(
        name=f"{prefix}@custom", template={"mappings": {"properties": fields}}
    )


async def take_anything(client: AsyncElasticsearch, prefix: str) -> None:
    """The admin mends it."""
    fields = {"client_request_id": {"type": "long", "ignore_malformed": True}}
    await client.indices.put_mapping(index=f"{prefix}-*", properties=fields)


async def expect_notices(settings: KafkaSettings, letters: list[dict[str, Any]]) -> None:
    """Kafka tells of each of these dead letters."""

    async def told() -> bool:
        notices = [record.event for record in await arrived(settings, [DEAD_LETTER_TOPIC])]
        return {(one["event_id"], one["collector"]) for one in notices} == {
            (letter["event_id"], letter["collector"]) for letter in letters
        }

    await eventually(told, "notices of dead letters", within_s=30)


async def dead_letters(world: World, expected: dict[str, int]) -> list[dict[str, Any]]:
    """The dead letters, once there are so many of these requests."""
    found: list[dict[str, Any]] = []

    async def there() -> bool:
        nonlocal found
        found = (await world.gateway.api.get("/api/v1/dead-letters")).json()["data"]
        return Counter(letter["request_id"] for letter in found) == Counter(expected)

    await eventually(there, f"dead letters of {expected}")
    return found
