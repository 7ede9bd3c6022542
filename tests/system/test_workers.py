"""Collector processes that come and go: what they leave behind is right whoever was killed."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from tests.support.gateway import Gateway, eventually, free_port, running_gateway
from tests.support.kafka_topics import Arrived, arrived
from tests.support.load import Load, openai
from tests.support.records import KINDS
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


class Worker:
    """A ``weir collect`` of its own beside a gateway."""

    def __init__(self, gateway: Gateway, settings: KafkaSettings) -> None:
        self.port = free_port()
        self._gateway = gateway
        self._settings = kafka_options(settings)
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it and wait until it collects."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("WEIR_")}
        own = {f"WEIR_{name.upper()}": value for name, value in self._settings.items()}
        program = str(Path(sys.executable).with_name("weir"))
        place = ("--data-dir", str(self._gateway.data_dir), "--port", str(self.port))
        with self._gateway.data_dir.with_name(f"worker-{self.port}.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                program,
                "collect",
                *place,
                env={**inherited, **own, "PYTHONPATH": str(PLUGINS)},
                stdout=log,
                stderr=log,
            )
        await eventually(self._ready, "the worker collects", within_s=60)

    async def stop(self) -> int:
        assert self._process is not None
        self._process.terminate()
        return await asyncio.wait_for(self._process.wait(), 60)

    async def kill(self) -> None:
        assert self._process is not None
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()

    async def metrics(self) -> str:
        async with httpx2.AsyncClient() as client:
            return (await client.get(f"http://127.0.0.1:{self.port}/metrics")).text

    async def _ready(self) -> bool:
        assert self._process is not None
        assert self._process.returncode is None, "weir collect ended"
        async with httpx2.AsyncClient() as client:
            try:
                return (await client.get(f"http://127.0.0.1:{self.port}/ready")).status_code == 200
            except httpx2.TransportError:
                return False


@asynccontextmanager
async def workers(gateway: Gateway, settings: KafkaSettings, count: int) -> AsyncIterator[list[Worker]]:
    """So many workers, all gone afterwards."""
    started = [Worker(gateway, settings) for _ in range(count)]
    try:
        for worker in started:
            await worker.start()
        yield started
    finally:
        for worker in started:
            await worker.kill()


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
                await leaving.start()
                await load.stop()
                away.unlink(missing_ok=True)
                await check_the_books(gateway, settings, sink)
                shown = await leaving.metrics()
                assert 'weir_collectors_lag_events{group="weir.deciding.analytics",kind="analytics"}' in shown
                assert "weir_accountant_lag_events" in shown
            whole = (await gateway.api.get("/metrics")).text
            assert 'weir_collector_events_total{collector="sink",result="handled"}' in whole
    assert len(load.completed) > 50


async def check_the_books(gateway: Gateway, settings: KafkaSettings, sink: Path) -> None:
    """What Kafka has is handled or recorded, never recorded twice, and in the sums once."""
    produced: dict[str, dict[str, Arrived]] = {}

    async def everything_is_there() -> bool:
        produced.clear()
        for record in await arrived(settings):
            produced.setdefault(record.topic, {})[record.event["event_id"]] = record
        found = [await union(gateway, sink, kind) for kind in KINDS]
        return [set(produced[topic]) for topic in EVENT_TOPICS] == found

    await eventually(everything_is_there, "every event is handled or recorded", within_s=90)
    for kind in KINDS:
        recorded = Counter(record["event_id"] for record in await gateway.records(kind))
        assert set(recorded.values()) <= {1}
    usage = [record.event for record in produced["weir.analytics.v1"].values()]

    async def summed_up() -> bool:
        groups = (await gateway.api.get("/api/v1/analytics/summary?group_by=llm&limit=100")).json()["data"]
        requests, tokens = (sum(group[name] for group in groups) for name in ("requests", "total_tokens"))
        return bool((requests, tokens) == (len(usage), sum(event["total_tokens"] for event in usage)))

    await eventually(summed_up, "the summary is the plain sum of all events", within_s=60)
