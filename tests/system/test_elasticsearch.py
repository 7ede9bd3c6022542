"""A whole gateway with its events in Elasticsearch: what the documents are, and what killing costs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
from elasticsearch import AsyncElasticsearch
from tests.support.documents import add_collector, documents
from tests.support.gateway import Gateway, eventually, running_gateway
from tests.support.load import Load, openai
from tests.support.records import KINDS
from tests.support.servers.elasticsearch import ElasticsearchServer

from weir_cli.mock_upstream.process import DEFAULT_KEY, RunningMock, running
from weir_collectors.builtin.elasticsearch_templates import install_templates

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

PLUGINS: Final = Path(__file__).parent.parent / "support" / "plugins"


@pytest.fixture
def prefix() -> str:
    """How the indices of this test begin."""
    return f"t{uuid.uuid4().hex[:12]}"


@pytest.fixture
async def client(elasticsearch: str, prefix: str) -> AsyncIterator[AsyncElasticsearch]:
    """A client of the shared server; what the test made is gone afterwards."""
    async with AsyncElasticsearch(elasticsearch) as client:
        yield client
        for name in await client.indices.get(index=f"{prefix}-*"):
            await client.indices.delete(index=name)
        await client.indices.delete_index_template(name=f"{prefix}-*")
        await client.cluster.delete_component_template(name=f"{prefix}*")


@contextlib.asynccontextmanager
async def under_load(tmp_path: Path) -> AsyncIterator[tuple[Gateway, Load, RunningMock]]:
    """A gateway, a load that has not begun, and the upstream that it asks."""
    with running(tmp_path / "calls.jsonl", first_byte_ms=10, chunk_ms=2) as upstream:
        async with running_gateway(tmp_path / "data", plugin_path=PLUGINS) as gateway:
            llm = await gateway.create(
                "llms",
                name="gpt",
                slug="gpt",
                vendor="openai",
                api_endpoint=upstream.url,
                api_key=DEFAULT_KEY,
            )
            caller = await gateway.caller(llm["id"])
            headers = {"authorization": f"Bearer {caller.secret}"}
            yield gateway, Load(gateway.url, (openai("gpt"),), headers, callers=2), upstream


async def test_every_call_is_documents_with_the_fields_of_its_events_and_no_record(
    client: AsyncElasticsearch, elasticsearch: str, prefix: str, tmp_path: Path
) -> None:
    async with under_load(tmp_path) as (gateway, load, _):
        await add_collector(gateway, elasticsearch, prefix)
        load.start()

        async def enough() -> bool:
            return len(load.completed) >= 40

        await eventually(enough, "calls are answered")
        await load.stop()
        for kind in KINDS:

            async def complete(kind: str = kind) -> bool:
                return len(await documents(client, prefix, kind)) >= len(load.completed)

            await eventually(complete, f"{kind} are documents")
            found = Counter(document["request_id"] for document in await documents(client, prefix, kind))
            assert found == Counter(dict.fromkeys(load.completed, 1))
            assert await gateway.records(kind) == [], "what is in Elasticsearch was stored, too"
    hits = await client.search(
        index=f"{prefix}-*",
        query={"exists": {"field": "gen_ai.usage.input_tokens"}},
        aggs={
            "input": {"sum": {"field": "gen_ai.usage.input_tokens"}},
            "prompt": {"sum": {"field": "prompt_tokens"}},
            "models": {"terms": {"field": "gen_ai.request.model"}},
            "days": {"min": {"field": "@timestamp"}},
        },
    )
    sums = hits["aggregations"]
    assert sums["input"]["value"] == sums["prompt"]["value"] > 0
    assert [bucket["key"] for bucket in sums["models"]["buckets"]] == ["gpt-4o-mini"]
    assert sums["days"]["value"] > 0
    logs = await client.search(
        index=f"{prefix}-proxy-logs-*",
        query={
            "bool": {
                "filter": [{"term": {"http.response.status_code": 200}}, {"match": {"request_body": "hi"}}]
            }
        },
    )
    assert logs["hits"]["total"]["value"] == len(load.completed)


async def test_templates_of_ours_are_renewed_and_those_of_others_are_left_alone(
    client: AsyncElasticsearch, prefix: str
) -> None:
    theirs = {"index_patterns": [f"{prefix}-budget-*"], "priority": 300}
    await client.indices.put_index_template(name=f"{prefix}-budget", version=99, **theirs)
    await client.indices.put_index_template(
        name=f"{prefix}-analytics", index_patterns=[f"{prefix}-analytics-*"]
    )
    await client.indices.put_index_template(
        name=f"{prefix}-proxy-logs", index_patterns=[f"{prefix}-proxy-logs-*"], version=0
    )
    for _ in range(2):
        await install_templates(client, prefix)
    found = await client.indices.get_index_template(name=f"{prefix}-*")
    templates = {entry["name"]: entry["index_template"] for entry in found["index_templates"]}
    assert templates[f"{prefix}-budget"]["version"] == 99
    assert templates[f"{prefix}-budget"]["composed_of"] == []
    assert "version" not in templates[f"{prefix}-analytics"]
    assert templates[f"{prefix}-proxy-logs"]["version"] == 1


async def test_an_admin_s_own_component_template_changes_the_mapping(
    client: AsyncElasticsearch, prefix: str
) -> None:
    await client.cluster.put_component_template(
        name=f"{prefix}@custom",
        template={"mappings": {"properties": {"metadata": {"type": "object", "enabled": True}}}},
    )
    await install_templates(client, prefix)
    made = await client.indices.simulate_index_template(name=f"{prefix}-proxy-logs-2026.01.31")
    fields = made["template"]["mappings"]["properties"]
    assert fields["metadata"].get("enabled", True) in (True, "true")
    assert fields["gen_ai"]["properties"]["request"]["properties"]["model"]["path"] == "model_name"


@pytest.mark.crash
async def test_whatever_is_killed_every_event_is_a_document_or_a_record_and_none_is_there_twice(
    elasticsearch_programs: None, prefix: str, tmp_path: Path
) -> None:
    dice = random.Random(11)
    server = ElasticsearchServer(tmp_path / "elasticsearch")
    watching = tmp_path / "watching"
    try:
        await asyncio.to_thread(server.start)
        async with under_load(tmp_path) as (gateway, load, upstream):
            await add_collector(gateway, server.url, prefix)
            await add_watcher(gateway, watching)
            load.start()
            for turn in range(2):
                await asyncio.sleep(dice.uniform(0.5, 2.0))  # the random moment is the test
                server.kill()
                if turn:
                    kill_collectors(gateway)
                await asyncio.to_thread(server.start)
                kill_collectors(gateway)
            await load.stop()
            async with AsyncElasticsearch(server.url, request_timeout=30) as client:
                asked = {call.headers["x-request-id"] for call in upstream.calls()}
                assert asked == set(load.completed)
                assert len(asked) > 50
                await check_the_books(gateway, client, prefix, watching, asked)
                await check_a_redrive(gateway, client, prefix, watching)
    finally:
        server.stop()


async def add_watcher(gateway: Gateway, file: Path) -> None:
    """An observer that notes every event."""
    plugin = await gateway.create(
        "plugins",
        name="watching",
        slug="watching",
        command="python://weir_sink_plugins:Sink",
        hook_types=["data_collection"],
        config={"file": str(file)},
        collector={"observer": True},
    )
    await gateway.hosted(plugin["id"])


def kill_collectors(gateway: Gateway) -> None:
    for pid, command in gateway.children().items():
        if "collectors" in command:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def watched(file: Path, kind: str) -> set[str]:
    """The ids of all events of a kind."""
    return {event_id for name, event_id in map(str.split, file.read_text().splitlines()) if name == kind}


async def check_the_books(
    gateway: Gateway, client: AsyncElasticsearch, prefix: str, watching: Path, asked: set[str]
) -> None:
    """Each event once at most on either side, all of them on one or the other: those of the calls, no others."""
    for kind in KINDS:
        recorded: list[dict[str, Any]] = []
        written: list[dict[str, Any]] = []

        async def settled(kind: str = kind) -> bool:
            nonlocal recorded, written
            recorded, written = await gateway.records(kind), await documents(client, prefix, kind)
            everywhere = {event["event_id"] for event in recorded + written}
            return everywhere == watched(watching, kind) and len(everywhere) >= len(asked)

        await eventually(settled, f"every event of {kind} is a document or a record", within_s=60)
        for events in (recorded, written):
            counted = Counter(event["event_id"] for event in events)
            assert set(counted.values()) <= {1}, counted.most_common(1)
        assert {event["request_id"] for event in recorded + written} == asked


async def check_a_redrive(gateway: Gateway, client: AsyncElasticsearch, prefix: str, watching: Path) -> None:
    """What became a dead letter is a document after its redrive: then all are, once."""
    for kind in KINDS:

        async def redriven(kind: str = kind) -> bool:
            asked = await gateway.api.post("/api/v1/dead-letters/redrive?collector=es")
            assert asked.status_code == 202
            found = Counter(document["event_id"] for document in await documents(client, prefix, kind))
            assert set(found.values()) <= {1}
            return set(found) == watched(watching, kind)

        await eventually(redriven, f"every event of {kind} is a document", within_s=60)
