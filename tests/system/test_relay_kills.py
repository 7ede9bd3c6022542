"""The relay and the broker die at any moment by SIGKILL, and every event of the spool is in its topic."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.streams.kafka.bench import kafka_settings, make_topics
from tests.streams.support import all_events, append, open_spool
from tests.support.kafka_topics import Arrived, arrived
from tests.support.roles import RoleProcess
from tests.support.servers.kafka import KafkaServer
from tests.system.test_kafka_gateway import kafka_options

from weir_streams.events import EVENT_TOPICS
from weir_streams.kafka.settings import KafkaSettings
from weir_streams.spool import Spool

pytestmark = [pytest.mark.system, pytest.mark.crash, pytest.mark.timeout(180)]

_WRITERS = 3


def relay_process(data_dir: Path, settings: KafkaSettings) -> RoleProcess:
    """``weir relay`` on one data directory."""
    return RoleProcess("relay", data_dir, **kafka_options(settings), kafka_relay_drain_seconds="50")


async def drained(relay: RoleProcess) -> int:
    """Once it has a connection, ask it to deliver what is left and to end; return its exit code."""
    await relay.ready()
    return await relay.stop()


class Writing:
    """Families appended to several spools, over and over, while other things happen."""

    def __init__(self, data_dir: Path) -> None:
        self.written = 0
        self._spools = [open_spool(data_dir) for _ in range(_WRITERS)]
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._write())

    async def stop(self) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait((self._task,))
        for spool in self._spools:
            spool.close()

    async def _write(self) -> None:
        while True:
            for spool in self._spools:
                self._append(spool)
            await asyncio.sleep(0.01)

    def _append(self, spool: Spool) -> None:
        append(spool, self.written, response_body="x" * (self.written % 3000))
        self.written += 1


@pytest.fixture
async def closing() -> AsyncIterator[AsyncExitStack]:
    """What is to be ended whatever happens."""
    async with AsyncExitStack() as stack:
        yield stack


async def test_a_relay_that_is_killed_again_and_again_loses_nothing(
    kafka: str, tmp_path: Path, closing: AsyncExitStack
) -> None:
    settings = kafka_settings(kafka)
    await make_topics(settings)
    moments = random.Random(20261122)
    relay = relay_process(tmp_path / "data", settings)
    closing.push_async_callback(relay.kill)
    writing = Writing(tmp_path / "data")
    writing.start()
    for _ in range(6):
        await relay.start()
        # The random moment is the test; starting Python takes about a second of it.
        await asyncio.sleep(moments.uniform(1.0, 3.0))
        await relay.kill()
    await writing.stop()
    await relay.start()
    assert await drained(relay) == 0
    check(await arrived(settings), all_events(tmp_path / "data"))


@pytest.mark.usefixtures("kafka_programs")
async def test_a_broker_that_is_killed_again_and_again_loses_nothing(
    tmp_path: Path, closing: AsyncExitStack
) -> None:
    server = KafkaServer(tmp_path / "kafka")
    closing.callback(server.stop)
    await asyncio.to_thread(server.start)
    settings = kafka_settings(server.bootstrap_servers)
    await make_topics(settings)
    moments = random.Random(1854)
    relay = relay_process(tmp_path / "data", settings)
    closing.push_async_callback(relay.kill)
    await relay.start()
    writing = Writing(tmp_path / "data")
    writing.start()
    for _ in range(3):
        await asyncio.sleep(moments.uniform(0.5, 2.5))  # the random moment is the test
        server.kill()
        await asyncio.to_thread(server.start)
    await writing.stop()
    assert await drained(relay) == 0
    check(await arrived(settings), all_events(tmp_path / "data"))


def check(records: list[Arrived], written: list[dict[str, Any]]) -> None:
    """Everything written arrived, unchanged and in order; what came twice says so itself."""
    assert len(written) > 1000
    by_id = {event["event_id"]: event for event in written}
    assert {record.event["event_id"]: record.event for record in records} == by_id
    places: dict[tuple[str, int], tuple[str, str]] = {}
    for record in records:
        place = record.event["spool_id"], record.event["spool_seq"]
        assert (
            places.setdefault(place, (record.topic, record.event["event_id"]))[1] == record.event["event_id"]
        )
    for topic in EVENT_TOPICS:
        for spool_id in {event["spool_id"] for event in written}:
            check_order([r for r in records if r.topic == topic and r.event["spool_id"] == spool_id])


def check_order(records: list[Arrived]) -> None:
    """By key, the first arrivals are in the spool's order: whoever keeps a high-water mark misses none."""
    marks: dict[bytes, int] = {}
    seen: set[int] = set()
    for record in records:
        seq = record.event["spool_seq"]
        if seq not in seen:
            assert seq > marks.get(record.key, -1)
            marks[record.key] = seq
            seen.add(seq)
