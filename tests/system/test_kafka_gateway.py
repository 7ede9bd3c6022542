"""A whole gateway with its events on Kafka: relayed, read there, recorded, and drained at the end."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.streams.kafka.bench import kafka_settings
from tests.support.environment import weir_environment
from tests.support.gateway import eventually
from tests.support.kafka_topics import arrived
from tests.support.load import Load, anthropic, openai
from tests.support.records import KINDS
from tests.support.world import World, open_world

from weir_cli.mock_upstream.process import running
from weir_streams.kafka.settings import KafkaSettings

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


def kafka_options(settings: KafkaSettings) -> dict[str, str]:
    """The gateway's settings, as its environment spells them without the prefix."""
    return {"kafka_bootstrap_servers": settings.bootstrap_servers, "kafka_prefix": settings.prefix}


def weir(options: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command as an operator would."""
    environment = weir_environment(**options)
    program = str(Path(sys.executable).with_name("weir"))
    return subprocess.run(
        [program, *arguments], env=environment, capture_output=True, text=True, check=False, timeout=60
    )


async def applied(kafka: str) -> KafkaSettings:
    """Settings whose topics the command has made."""
    settings = kafka_settings(kafka)
    done = await asyncio.to_thread(
        weir, kafka_options(settings) | {"kafka_partitions": "2"}, "topics", "apply"
    )
    assert done.returncode == 0, done.stderr
    return settings


async def test_the_topics_command_makes_topics_and_says_what_differs(kafka: str) -> None:
    settings = await applied(kafka)
    options = kafka_options(settings)
    again = await asyncio.to_thread(weir, options | {"kafka_partitions": "2"}, "topics", "apply")
    assert (again.returncode, again.stdout) == (0, "All topics are as they should be.\n")
    different = await asyncio.to_thread(weir, options | {"kafka_partitions": "3"}, "topics", "show")
    assert different.returncode == 1
    assert "partitions is 2" in different.stdout


async def test_events_reach_the_records_by_way_of_kafka_and_nothing_is_left_at_the_end(
    kafka: str, tmp_path: Path
) -> None:
    settings = await applied(kafka)
    async with under_load(tmp_path, settings) as (world, load):
        while len(load.completed) < 200:
            await asyncio.sleep(0.05)
        await load.stop()
        records = await all_records(world, load)
        assert await world.gateway.stop() == 0
    check_the_books(records, load, world)
    events = {record.event["event_id"] for record in await arrived(settings)}
    for kind in KINDS:
        assert {record["event_id"] for record in records[kind]} <= events


@pytest.mark.crash
async def test_everything_is_killed_under_load_and_the_books_are_right(kafka: str, tmp_path: Path) -> None:
    settings = await applied(kafka)
    moments = random.Random(20261122)
    async with under_load(tmp_path, settings) as (world, load):
        for _ in range(3):
            await asyncio.sleep(moments.uniform(0.5, 3.0))  # the random moment is the test
            await world.gateway.kill_everything()
            await world.gateway.start()
        await load.stop()
        records = await all_records(world, load)
    check_the_books(records, load, world)
    assert len(load.completed) > 50


@asynccontextmanager
async def under_load(tmp_path: Path, settings: KafkaSettings) -> AsyncIterator[tuple[World, Load]]:
    """A gateway of two workers with calls to both vendors under way; at its end a busy machine has time."""
    options = kafka_options(settings) | {"kafka_relay_drain_seconds": "50"}
    with running(tmp_path / "calls.jsonl", first_byte_ms=10, chunk_ms=2) as upstream:
        async with open_world(tmp_path / "data", upstream, workers="2", **options) as world:
            headers = dict(world.client.headers)
            load = Load(world.gateway.url, (openai("gpt"), anthropic("claude")), headers)
            load.start()
            yield world, load


async def all_records(world: World, load: Load) -> dict[str, list[dict[str, Any]]]:
    """Every record, once everything that was answered or asked upstream is recorded."""
    asked = {call.headers["x-request-id"] for call in world.upstream.calls()} | set(load.completed)
    found: dict[str, list[dict[str, Any]]] = {}

    async def complete() -> bool:
        for kind in KINDS:
            found[kind] = await world.gateway.records(kind)
        return all(asked <= {record["request_id"] for record in found[kind]} for kind in KINDS)

    await eventually(complete, "everything is recorded", within_s=90)
    return found


def check_the_books(records: dict[str, list[dict[str, Any]]], load: Load, world: World) -> None:
    """One record of each kind for each answer and upstream call, and none twice, by event or by request."""
    assert set(load.completed)
    for kind in KINDS:
        for identity in ("event_id", "request_id"):
            counted = Counter(record[identity] for record in records[kind])
            assert max(counted.values()) == 1, f"{kind} has {counted.most_common(1)} twice"
    outcomes = {record["request_id"]: record["outcome"] for record in records["proxy-logs"]}
    assert {outcomes[request_id] for request_id in load.completed} == {"served"}
