"""Collector processes that come and go: what they leave behind is right whoever was killed."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from tests.support.gateway import Gateway, eventually, running_gateway
from tests.support.kafka_topics import Arrived, arrived
from tests.support.load import Load, openai
from tests.support.records import KINDS
from tests.support.roles import RoleProcess
from tests.system.test_collectors import PLUGINS, add_llm, add_sink, call, union
from tests.system.test_kafka_gateway import applied, kafka_options

from weir_cli.mock_upstream.process import running
from weir_streams.events import EVENT_TOPICS
from weir_streams.kafka.settings import KafkaSettings

pytestmark = pytest.mark.timeout(180)

CALLS = 20


async def test_a_restarted_process_waits_for_its_collectors_before_it_takes_events_for_unhandled(
    tmp_path: Path,
) -> None:
    sink = tmp_path / "sink"
    with running(tmp_path / "calls.jsonl") as upstream:
        async with running_gateway(tmp_path / "data", plugin_path=PLUGINS) as gateway:
            llm = await add_llm(gateway, upstream.url)
            caller = await gateway.caller(llm["id"])
            await add_sink(gateway, sink, start_s=7.0)
            await call(gateway, caller.secret, CALLS)
            os.kill(gateway.child("collectors"), signal.SIGKILL)
            await call(gateway, caller.secret, CALLS)

            async def decided() -> bool:
                return all([len(await union(gateway, sink, kind)) >= 2 * CALLS for kind in KINDS])

            await eventually(decided, "every event is decided", within_s=60)
            assert {kind: len(await gateway.records(kind)) for kind in KINDS} == dict.fromkeys(KINDS, 0)


@asynccontextmanager
async def workers(gateway: Gateway, settings: KafkaSettings, count: int) -> AsyncIterator[list[RoleProcess]]:
    """So many processes beside the gateway's, all gone afterwards."""
    started = [
        RoleProcess("collect", gateway.data_dir, plugin_path=PLUGINS, **kafka_options(settings))
        for _ in range(count)
    ]
    try:
        for worker in started:
            await worker.start()
            await worker.ready()
        yield started
    finally:
        for worker in started:
            await worker.close()


@pytest.mark.system
@pytest.mark.crash
async def test_workers_come_and_go_and_every_event_is_handled_or_recorded_and_summed_once(
    kafka: str, tmp_path: Path
) -> None:
    settings = await applied(kafka)
    dice = random.Random(20261122)
    sink = tmp_path / "sink"
    away = Path(f"{sink}.away")
    with running(tmp_path / "calls.jsonl", first_byte_ms=50) as upstream:
        async with running_gateway(
            tmp_path / "data", plugin_path=PLUGINS, **kafka_options(settings)
        ) as gateway:
            llm = await add_llm(gateway, upstream.url)
            caller = await gateway.caller(llm["id"])
            await add_sink(gateway, sink)
            load = Load(
                gateway.url, (openai("gpt"),), {"authorization": f"Bearer {caller.secret}"}, callers=4
            )
            load.start()
            async with workers(gateway, settings, 2) as (leaving, dying):
                for turn in range(3):
                    await asyncio.sleep(dice.uniform(0.5, 2.0))  # the random moment is the test
                    away.unlink() if away.exists() else away.touch()
                    await dying.kill()
                    if turn == 1:
                        assert await leaving.stop() == 0
                        os.kill(gateway.child("collectors"), signal.SIGKILL)
                    await dying.start()
                    await dying.ready()
                await leaving.start()
                await leaving.ready()
                await load.stop()
                away.unlink(missing_ok=True)
                called = {asked.headers["x-request-id"] for asked in upstream.calls()} | set(load.completed)
                await check_the_books(gateway, settings, sink, called)
                async with httpx2.AsyncClient() as client:
                    shown = (await client.get(f"{leaving.url}/metrics")).text
                assert 'weir_collectors_lag_events{group="weir.deciding.analytics",kind="analytics"}' in shown
                assert "weir_accountant_lag_events" in shown
            whole = (await gateway.api.get("/metrics")).text
            assert 'weir_collector_events_total{collector="sink",result="handled"}' in whole
    assert len(load.completed) > 50


async def check_the_books(gateway: Gateway, settings: KafkaSettings, sink: Path, called: set[str]) -> None:
    """What was called is in Kafka; what is there is handled or recorded, never recorded twice, in the sums once.

    Args:
        called: The request ids of all answers that clients got whole, and of all calls that the model's side got.
    """
    produced: dict[str, dict[str, Arrived]] = {}
    missing: dict[str, Counter[int]] = {}

    async def everything_is_there() -> bool:
        produced.clear()
        for record in await arrived(settings):
            produced.setdefault(record.topic, {})[record.event["event_id"]] = record
        for topic in EVENT_TOPICS:
            if not called <= {record.event["request_id"] for record in produced.get(topic, {}).values()}:
                return False
        for topic, kind in zip(EVENT_TOPICS, KINDS, strict=True):
            found = await union(gateway, sink, kind)
            if not found <= set(produced[topic]):
                return False  # more of them arrived after we looked
            missing[topic] = Counter(
                record.partition for event_id, record in produced[topic].items() if event_id not in found
            )
        return not any(missing.values())

    try:
        await eventually(everything_is_there, "every event is handled or recorded", within_s=90)
    except AssertionError as late:
        raise AssertionError(f"neither handled nor recorded, by partition: {missing}") from late
    for kind in KINDS:
        recorded = Counter(record["event_id"] for record in await gateway.records(kind))
        assert set(recorded.values()) <= {1}
    usage = [record.event for record in produced["weir.analytics.v1"].values()]

    async def summed_up() -> bool:
        groups = (await gateway.api.get("/api/v1/analytics/summary?group_by=llm&limit=100")).json()["data"]
        requests, tokens = (sum(group[name] for group in groups) for name in ("requests", "total_tokens"))
        return bool((requests, tokens) == (len(usage), sum(event["total_tokens"] for event in usage)))

    await eventually(summed_up, "the summary is the plain sum of all events", within_s=60)
