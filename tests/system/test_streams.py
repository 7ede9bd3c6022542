"""Windows of spend and alerts, made by ``weir streams`` on a real Kafka while it is killed."""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from tests.streams.windows.bench import record
from tests.support.gateway import eventually
from tests.support.kafka_topics import arrived
from tests.support.load import Load, anthropic, openai
from tests.support.topology import kill_child
from tests.support.webhook import receiver
from tests.support.windows import messages, streams_process, windows
from tests.support.world import World, open_world
from tests.system.test_kafka_gateway import applied, kafka_options

from weir_cli.mock_upstream.process import running
from weir_core.clock import parse_rfc3339, rfc3339
from weir_core.webhook_signing import Signer
from weir_streams.kafka.settings import KafkaSettings
from weir_streams.log import LogRecord

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

WINDOW_S = 2
SECRET = "a secret of the tests"
COUNTS = ("requests", "errors", "prompt_tokens", "response_tokens", "total_tokens")

Sums = Counter[tuple[Any, ...]]


@asynccontextmanager
async def under_load(tmp_path: Path, settings: KafkaSettings) -> AsyncIterator[tuple[World, Load]]:
    with running(tmp_path / "calls.jsonl", first_byte_ms=20, chunk_ms=5) as upstream:
        async with open_world(tmp_path / "data", upstream, **kafka_options(settings)) as world:
            asks = (openai("gpt"), anthropic("claude"))
            load = Load(world.gateway.url, asks, dict(world.client.headers), callers=6)
            load.start()
            yield world, load


def streams_options(settings: KafkaSettings, **more: str) -> dict[str, str]:
    return kafka_options(settings) | {"streams_window_seconds": str(WINDOW_S)} | more


def added_up(rows: Iterable[dict[str, Any]], *by: str) -> Sums:
    """Counts and nano-units by some fields and the name of the sum."""
    found: Sums = Counter()
    for row in rows:
        group = tuple(row[name] for name in by)
        for name in COUNTS:
            found[*group, name] += row[name]
        found[*group, "nano"] += int(Decimal(row["cost"]) * 10**9)
    return found


def as_window(event: dict[str, Any]) -> dict[str, Any]:
    """What one analytics event is in its window."""
    length_us = WINDOW_S * 1_000_000
    start_us = parse_rfc3339(event["timestamp"]) // length_us * length_us
    served = event["outcome"] == "served"
    counted = {"requests": 1, "errors": int(not served), "cost": event["cost"] or "0"}
    return {**event, **counted, "window_start": rfc3339(start_us)}


async def analytics(settings: KafkaSettings) -> list[dict[str, Any]]:
    """Each event of the topic once, whatever was delivered twice."""
    events = [found.event for found in await arrived(settings) if found.topic == "weir.analytics.v1"]
    return list({event["event_id"]: event for event in events}.values())


async def summary(world: World) -> list[dict[str, Any]]:
    query = {"group_by": "app,llm,model", "limit": 100}
    answer = (await world.gateway.api.get("/api/v1/analytics/summary", params=query)).raise_for_status()
    groups: list[dict[str, Any]] = answer.json()["data"]
    return groups


@pytest.mark.crash
async def test_after_any_kills_the_windows_are_the_plain_sums_of_the_events_and_the_accountants(
    kafka: str, tmp_path: Path
) -> None:
    settings = await applied(kafka)
    moments = random.Random(20261123)
    async with (
        under_load(tmp_path, settings) as (world, load),
        streams_process(tmp_path / "windows", **streams_options(settings)) as streams,
    ):
        for turn in range(4):
            if turn % 2 == 0:
                await streams.ready()
            await asyncio.sleep(moments.uniform(0.2, 2.0))  # the random moment is the test
            await streams.kill()
            # What it had sent and not noted down, it sends again.
            kill_child(world.gateway, "relay")
            await streams.start()
        await load.stop()
        await world.families.settled()
        await check_the_windows(settings, world)
        assert await streams.stop() == 0
    assert len(load.completed) > 50


async def check_the_windows(settings: KafkaSettings, world: World) -> None:
    """Each window is the sum of its events, and all of them are the accountant's."""
    asked = {call.headers["x-request-id"] for call in world.upstream.calls()}
    by = ("window_start", "app_id", "llm_id", "model_name", "currency")
    events: list[dict[str, Any]] = []

    async def all_there() -> bool:
        events[:] = await analytics(settings)
        return asked <= {event["request_id"] for event in events}

    await eventually(all_there, "every call's event is on the topic", within_s=60)
    plain = added_up(map(as_window, events), *by)
    found: list[Sums] = []

    async def equal() -> bool:
        found[:] = [added_up((await windows(settings)).values(), *by)]
        return found[0] == plain

    try:
        await eventually(equal, "each window is the plain sum of its events", within_s=60)
    except AssertionError:
        assert found[0] == plain
        raise

    async def accounted() -> bool:
        whole = ("app_id", "llm_id", "model_name")
        return added_up(await summary(world), *whole) == added_up((await windows(settings)).values(), *whole)

    await eventually(accounted, "the windows are the accountant's sums", within_s=60)


async def test_a_crossing_arrives_once_at_the_topic_and_at_the_webhook(kafka: str, tmp_path: Path) -> None:
    settings = await applied(kafka)
    async with receiver(503) as posted:
        # A window that the test does not outlast, unless it runs at midnight.
        options = streams_options(
            settings,
            streams_window_seconds="86400",
            streams_alert_spend="0.000001",
            streams_webhook_url=posted.url,
            streams_webhook_secret=SECRET,
        )
        async with (
            under_load(tmp_path, settings) as (world, load),
            streams_process(tmp_path / "windows", **options) as streams,
        ):

            async def arrived_everywhere() -> bool:
                return bool(await messages(settings, "weir.alert.v1")) and len(posted.requests) >= 2

            await eventually(arrived_everywhere, "an alert arrives", within_s=60)
            await streams.stop()
            calls = len(load.completed)
            await streams.start()
            await streams.ready()
            await load.stop()
            await world.families.settled()
            await streams.stop()
            assert len(load.completed) > calls
            found = await messages(settings, "weir.alert.v1")
        assert {key for key, _ in found} == {f"app/{world.caller.app_id}"}
        alerts = {alert["alert_id"]: alert for _, alert in found if alert is not None}
        assert len(alerts) == len({alert["window_start"] for alert in alerts.values()}) == len(found)
        check_the_posts(posted.requests, alerts)


def check_the_posts(requests: list[tuple[dict[str, str], bytes]], alerts: dict[str, dict[str, Any]]) -> None:
    """The first try was refused, the others taken, each alert once; all are signed and as on the topic."""
    ids = [headers["webhook-id"] for headers, _ in requests]
    assert ids[0] == ids[1]
    assert len(ids[1:]) == len(set(ids))
    for headers, body in requests:
        alert = alerts[headers["webhook-id"]]
        assert msgspec.json.decode(body)["data"] == alert
        signed = Signer(SECRET).headers(alert["alert_id"], int(headers["webhook-timestamp"]), body)
        assert signed.items() <= headers.items()


async def test_a_lost_store_is_made_anew_from_the_events(kafka: str, tmp_path: Path) -> None:
    settings = await applied(kafka)
    began_s = time.time()
    await produced(settings, [record(offset, began_s - offset % 600) for offset in range(3000)])
    async with streams_process(tmp_path / "windows", **streams_options(settings)) as streams:
        await streams.ready()
        before = await settled(settings, 3000)
        assert await streams.stop() == 0
        shutil.rmtree(tmp_path / "windows" / "streams")
        await produced(settings, [record(3000, began_s)])
        await streams.start()
        after = await settled(settings, 3001)
    assert len(after.items() - before.items()) == 1


async def produced(
    settings: KafkaSettings, records: Iterable[LogRecord], partition: int | None = None
) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=settings.bootstrap_servers, acks="all")
    await producer.start()
    try:
        for one in records:
            await producer.send(settings.topic(one.partition.topic), one.value, one.key, partition=partition)
    finally:
        await producer.stop()


async def settled(settings: KafkaSettings, requests: int) -> dict[str, str]:
    """The windows as JSON, once there are so many requests in them."""
    found: dict[str, dict[str, Any]] = {}

    async def all_there() -> bool:
        found.update(await windows(settings))
        return sum(window["requests"] for window in found.values()) == requests

    await eventually(all_there, f"{requests} requests are in windows", within_s=60)
    return {key: msgspec.json.encode(window).decode() for key, window in found.items()}


async def test_a_consumer_that_has_lost_its_partition_says_so_and_ends(kafka: str, tmp_path: Path) -> None:
    settings = await applied(kafka)
    options = streams_options(settings, streams_stall_seconds="2")
    async with streams_process(tmp_path / "windows", **options) as streams:
        await streams.ready()
        assert (await streams.health()).is_success
        async with stranger_in_its_group(settings, tmp_path / "windows") as taken:
            await produced(settings, [record(0)], partition=taken)

            async def ill() -> bool:
                health = await streams.health()
                return health is not None and "1 events wait and none was read for 2 s" in health.text

            await eventually(ill, "it says that it stands still", within_s=60)
            assert await streams.ended() == 1


@asynccontextmanager
async def stranger_in_its_group(settings: KafkaSettings, data_dir: Path) -> AsyncIterator[int]:
    """Another member, and the partition that it has taken."""
    store = sqlite3.connect(f"file:{data_dir / 'streams' / 'windows.db'}?mode=ro", uri=True)
    [(store_id,)] = store.execute("SELECT value FROM facts WHERE name = 'store_id'")
    store.close()
    stranger = AIOKafkaConsumer(
        settings.topic("weir.analytics.v1"),
        bootstrap_servers=settings.bootstrap_servers,
        group_id=settings.group(f"weir.streams.{store_id}"),
        partition_assignment_strategy=[RoundRobinPartitionAssignor],
    )
    await stranger.start()
    try:
        [place] = stranger.assignment()
        yield place.partition
    finally:
        await stranger.stop()
