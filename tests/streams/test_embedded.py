"""The embedded log: the contract, and what only it can do."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from tests.streams.event_log_contract import EventLogContract, LogBench, numbers, past, take
from tests.streams.support import RecordingLogger, append, open_spool

from weir_core.clock import SystemClock
from weir_streams.embedded import EmbeddedConsumer, EmbeddedLog
from weir_streams.errors import GroupBusyError, LogUnavailableError
from weir_streams.events import ANALYTICS_TOPIC, BUDGET_USAGE_TOPIC, EVENT_TOPICS, PROXY_LOG_TOPIC
from weir_streams.home import spool_directories
from weir_streams.log import Consumer
from weir_streams.offsets import GroupOffsets
from weir_streams.reports import Damage
from weir_streams.segment import SEGMENT_HEADER_BYTES
from weir_streams.spool import Spool


class EmbeddedBench(LogBench):
    """Spools in a directory, one for each writer."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.logger = RecordingLogger()
        self.damages: list[Damage] = []
        self.log = EmbeddedLog(root, clock=SystemClock(), logger=self.logger, on_damage=self.damages.append)
        self.spools: dict[str, Spool] = {}

    async def produce(self, writer: str, first: int, count: int) -> None:
        spool = self.spools.get(writer) or self.spools.setdefault(writer, open_spool(self.root))
        for number in range(first, first + count):
            append(spool, number)

    async def crash(self, consumer: Consumer) -> None:
        assert isinstance(consumer, EmbeddedConsumer)
        await consumer.close()

    def close(self) -> None:
        for spool in self.spools.values():
            spool.close()


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[EmbeddedBench]:
    bench = EmbeddedBench(tmp_path)
    yield bench
    bench.close()
    await bench.log.close()


class TestEmbeddedLog(EventLogContract):
    """The embedded log keeps every promise."""


async def test_segments_are_followed_as_they_come(bench: EmbeddedBench) -> None:
    consumer = await bench.log.consumer("group", [PROXY_LOG_TOPIC])
    await bench.produce("a", 0, 1)
    spool = bench.spools["a"]
    seen = numbers(await take(consumer, 1))
    for number in range(1, 60):
        append(spool, number, response_body="x" * 10_000)
        seen += numbers(await take(consumer, 1))
    assert seen == list(range(60))
    assert len(spool._owned.files.bases()) > 3
    await consumer.close()


async def test_a_spool_goes_on_being_read_after_its_owner_came_back(bench: EmbeddedBench) -> None:
    await bench.produce("a", 0, 2)
    consumer = await bench.log.consumer("group", [PROXY_LOG_TOPIC])
    await consumer.commit(past(await take(consumer, 2)))
    bench.spools.pop("a").close()
    await bench.produce("a", 2, 2)
    assert numbers(await take(consumer, 2)) == [2, 3]
    assert len(spool_directories(bench.root)) == 1
    await consumer.close()


async def test_a_group_has_one_member_at_a_time(bench: EmbeddedBench) -> None:
    consumer = await bench.log.consumer("group", EVENT_TOPICS)
    with pytest.raises(GroupBusyError, match="live member"):
        await bench.log.consumer("group", EVENT_TOPICS)
    await consumer.close()
    await (await bench.log.consumer("group", EVENT_TOPICS)).close()


async def test_a_rotten_record_is_skipped_loudly_and_counted(bench: EmbeddedBench) -> None:
    await bench.produce("a", 0, 3)
    spool = bench.spools["a"]
    (segment,) = spool_directories(bench.root)[0].glob("*.seg")
    with segment.open("r+b") as file:
        file.seek(SEGMENT_HEADER_BYTES + 200)
        file.write(b"rot")
    consumer = await bench.log.consumer("group", [PROXY_LOG_TOPIC])
    assert numbers(await take(consumer, 2)) == [1, 2]
    assert isinstance(bench.log, EmbeddedLog)
    assert bench.log.damages == 1
    (damage,) = bench.damages
    assert (damage.spool_id, damage.first_missing, damage.resumed_at) == (spool.id, 1, 4)
    assert bench.logger.named("spool damaged") == [msgspec.structs.asdict(damage)]
    await consumer.commit(past([]))
    await consumer.close()


async def test_a_group_without_records_of_its_topic_holds_no_segment_back(bench: EmbeddedBench) -> None:
    await bench.produce("a", 0, 2)
    consumer = await bench.log.consumer("group", [PROXY_LOG_TOPIC, "weir.other.v1"])
    spool = bench.spools["a"]
    await consumer.commit(past(await take(consumer, 2)))
    assert GroupOffsets.load(bench.root, "group").passed(spool.id) == spool.next_seq
    await consumer.close()


async def test_an_idle_group_moves_on_over_the_records_of_other_topics(bench: EmbeddedBench) -> None:
    await bench.produce("a", 0, 2)
    consumer = await bench.log.consumer("group", ["weir.other.v1"])
    assert await consumer.poll(10, 0) == []
    assert GroupOffsets.load(bench.root, "group").passed(bench.spools["a"].id) == bench.spools["a"].next_seq
    await consumer.close()


async def test_an_offset_never_moves_past_what_is_not_finished(bench: EmbeddedBench) -> None:
    await bench.produce("a", 0, 4)
    consumer = await bench.log.consumer("group", EVENT_TOPICS)
    records = await take(consumer, 12)
    finished = [item for item in records if item.partition.topic != BUDGET_USAGE_TOPIC]
    await consumer.commit(past(finished))
    await consumer.poll(1, 0)
    offsets = GroupOffsets.load(bench.root, "group")
    first_budget = next(item for item in records if item.partition.topic == BUDGET_USAGE_TOPIC)
    assert offsets.committed(first_budget.partition) == first_budget.offset
    assert offsets.passed(bench.spools["a"].id) == first_budget.offset
    await consumer.close()


async def test_a_cancelled_poll_takes_nothing_with_it(bench: EmbeddedBench) -> None:
    await bench.produce("a", 0, 3)
    consumer = await bench.log.consumer("group", [PROXY_LOG_TOPIC])
    for _ in range(3):
        polling = asyncio.create_task(consumer.poll(10, 5))
        await asyncio.sleep(0)
        polling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await polling
    assert numbers(await take(consumer, 3)) == [0, 1, 2]
    await consumer.close()


async def test_damaged_offsets_make_the_group_read_again_and_say_so(bench: EmbeddedBench) -> None:
    await bench.produce("a", 0, 2)
    consumer = await bench.log.consumer("group", [PROXY_LOG_TOPIC])
    await consumer.commit(past(await take(consumer, 2)))
    await consumer.close()
    (path,) = bench.root.glob("offsets/*/offsets.json")
    path.write_bytes(b'{"half')
    again = await bench.log.consumer("group", [PROXY_LOG_TOPIC])
    assert numbers(await take(again, 2)) == [0, 1]
    assert bench.logger.named("offsets damaged, the group reads everything again") == [{"group": "group"}]
    await again.close()


async def test_offsets_that_cannot_be_stored_are_an_error_and_the_old_ones_stand(
    bench: EmbeddedBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.produce("a", 0, 4)
    consumer = await bench.log.consumer("group", [PROXY_LOG_TOPIC])
    records = await take(consumer, 4)
    await consumer.commit(past(records[:2]))
    monkeypatch.setattr(os, "fsync", _refuse)
    with pytest.raises(LogUnavailableError, match="stored"):
        await consumer.commit(past(records[:3]))
    monkeypatch.undo()
    assert GroupOffsets.load(bench.root, "group").committed(records[0].partition) == records[2].offset
    await consumer.commit(past(records))
    assert GroupOffsets.load(bench.root, "group").committed(records[0].partition) > records[3].offset
    await consumer.close()


async def test_a_removed_spool_is_forgotten(bench: EmbeddedBench) -> None:
    await bench.produce("a", 0, 1)
    await bench.produce("b", 1, 1)
    consumer = await bench.log.consumer("group", [ANALYTICS_TOPIC])
    await consumer.commit(past(await take(consumer, 2)))
    gone = bench.spools.pop("a")
    gone.close()
    for path in (bench.root / "spool" / gone.id).iterdir():
        path.unlink()
    (bench.root / "spool" / gone.id).rmdir()
    while any(partition.name == gone.id for partition in await consumer.lag()):
        await consumer.poll(1, 0)
    await bench.produce("b", 2, 1)
    await consumer.commit(past(await take(consumer, 1)))
    assert GroupOffsets.load(bench.root, "group").passed(gone.id) == 0
    await consumer.close()


@pytest.mark.parametrize("group", ["deciding proxy-log", "../escape", "observer/7", "ünï"])
async def test_any_text_is_a_group_name(bench: EmbeddedBench, group: str) -> None:
    await bench.produce("a", 0, 1)
    consumer = await bench.log.consumer(group, [PROXY_LOG_TOPIC])
    await consumer.commit(past(await take(consumer, 1)))
    assert [path.parent.parent.name for path in bench.root.rglob("offsets.json")] == ["offsets"]
    await consumer.close()


def _refuse(_: int) -> None:
    raise OSError(28, "No space left on device")


async def test_retention_hears_of_a_start_that_is_ahead_of_what_the_group_had_committed(
    bench: EmbeddedBench,
) -> None:
    await bench.produce("a", 0, 3)
    reading = await bench.log.consumer("reading", [PROXY_LOG_TOPIC])
    start = past(await take(reading, 3))
    await reading.close()
    consumer = await bench.log.consumer("group", [PROXY_LOG_TOPIC], start=start)
    assert await consumer.poll(10, 0.01) == []
    await consumer.close()
    [(partition, offset)] = start.items()
    assert GroupOffsets.load(bench.root, "group").committed(partition) >= offset
