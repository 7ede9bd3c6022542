"""The Kafka log: the contract, and what only it can do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from tests.streams.event_log_contract import EventLogContract, numbers, past, take
from tests.streams.kafka.bench import KafkaBench, kafka_bench, kafka_settings
from tests.streams.support import RecordingLogger

from weir_core.clock import SystemClock
from weir_core.errors import InvalidInputError
from weir_streams.errors import LogUnavailableError, TopicMissingError
from weir_streams.events import PROXY_LOG_TOPIC
from weir_streams.kafka.consumer import KafkaConsumer
from weir_streams.kafka.event_log import KafkaEventLog
from weir_streams.kafka.settings import KafkaSettings
from weir_streams.log import LogRecord

pytestmark = pytest.mark.system


@pytest.fixture
async def bench(kafka: str) -> AsyncIterator[KafkaBench]:
    async with kafka_bench(kafka, instance="worker") as bench:
        yield bench


class TestKafkaLog(EventLogContract):
    """The Kafka log keeps every promise."""


async def test_a_joining_member_takes_a_partition_and_the_first_is_told_to_forget_it(
    bench: KafkaBench,
) -> None:
    await bench.produce("a", 0, 3)
    await bench.produce("b", 100, 3)
    first = await bench.log.consumer("group", [PROXY_LOG_TOPIC])
    in_hand = await take(first, 6)
    second, more = await join_beside(bench, first)
    lost = set(first.lost())
    assert len(lost) == 1
    assert more == []
    again = await take(second, 3)
    assert numbers(again) == numbers([record for record in in_hand if record.partition in lost])
    assert set(await first.lag()).isdisjoint(await second.lag())
    await first.close()
    await second.close()


async def test_what_a_rebalance_leaves_is_neither_lost_nor_read_twice(bench: KafkaBench) -> None:
    await bench.produce("a", 0, 3)
    await bench.produce("b", 100, 3)
    first = await bench.log.consumer("group", [PROXY_LOG_TOPIC])
    in_hand = await take(first, 6)
    second, _ = await join_beside(bench, first)
    lost = first.lost()
    kept = [record for record in in_hand if record.partition not in lost]
    await bench.produce("a", 3, 1)
    await bench.produce("b", 103, 1)
    next_of_first, next_of_second = await take(first, 1), await take(second, 4)
    assert numbers(next_of_first) == [numbers(kept)[-1] + 1]
    assert len(next_of_second) == 4
    await first.commit(past(kept + next_of_first))
    assert sum((await first.lag()).values()) == 0
    await first.close()
    await second.close()


async def test_a_poll_that_outlasts_a_rebalance_gives_back_what_it_took_for_nobody(bench: KafkaBench) -> None:
    first = await bench.log.consumer("group", [PROXY_LOG_TOPIC])
    polling = asyncio.create_task(first.poll(10, 60))
    second = await bench.log.consumer("group", [PROXY_LOG_TOPIC])
    while len(await first.lag()) == 2:  # asking for it finds out where the partition that is left is read on
        await asyncio.sleep(0.01)
    await bench.produce("a", 0, 3)
    await bench.produce("b", 100, 3)
    assert await polling == []
    assert len([*await take(first, 3), *await take(second, 3)]) == 6
    assert not bench.logger.named("records were deleted before they were read")
    await first.close()
    await second.close()


async def test_a_hand_over_waits_for_what_is_in_hand(kafka: str) -> None:
    async with kafka_bench(kafka, handover_s=30) as bench:
        await bench.produce("a", 0, 3)
        await bench.produce("b", 100, 3)
        first = await bench.log.consumer("group", [PROXY_LOG_TOPIC])
        in_hand = await take(first, 6)
        polling = asyncio.create_task(poll_forever(first))
        joining = asyncio.create_task(bench.log.consumer("group", [PROXY_LOG_TOPIC]))
        while bench.handing_over(first) is False:
            await asyncio.sleep(0.01)
        await first.commit(past(in_hand))
        second = await joining
        assert await second.poll(10, 0.5) == []
        assert sum((await second.lag()).values()) == 0
        polling.cancel()
        await first.close()
        await second.close()


async def test_a_member_that_gives_up_joining_does_not_wait_for_the_others_to_let_go(kafka: str) -> None:
    async with kafka_bench(kafka, handover_s=60, instance="worker") as bench:
        await bench.produce("a", 0, 1)
        first = await bench.log.consumer("group", [PROXY_LOG_TOPIC])
        await take(first, 1)
        polling = asyncio.create_task(poll_forever(first))
        joining = asyncio.create_task(bench.log.consumer("group", [PROXY_LOG_TOPIC]))
        while bench.handing_over(first) is False:
            await asyncio.sleep(0.01)
        joining.cancel()
        async with asyncio.timeout(20):  # a third of what the first member may keep it waiting for
            await asyncio.wait([joining])
        assert joining.cancelled()
        polling.cancel()
        await first.close()


async def test_a_commit_for_a_partition_that_was_lost_does_not_move_its_new_owner(bench: KafkaBench) -> None:
    await bench.produce("a", 0, 3)
    await bench.produce("b", 100, 3)
    first = await bench.log.consumer("group", [PROXY_LOG_TOPIC])
    in_hand = await take(first, 6)
    second, _ = await join_beside(bench, first)
    await first.commit(past(in_hand))
    assert sum((await second.lag()).values()) == 3
    await first.close()
    await second.close()


async def test_a_named_member_finds_its_partitions_after_a_restart_and_disturbs_nobody(
    bench: KafkaBench,
) -> None:
    first = await bench.log.consumer("group", [PROXY_LOG_TOPIC])
    second, _ = await join_beside(bench, first)
    held = set(await second.lag())
    first.lost()
    await second.close()
    again = await bench.log.consumer("group", [PROXY_LOG_TOPIC])
    assert set(await again.lag()) == held
    await first.poll(1, 0.2)
    assert not first.lost()
    await first.close()
    await again.close()


async def test_a_member_that_does_not_poll_keeps_its_partitions(kafka: str) -> None:
    async with kafka_bench(kafka, session_timeout_s=1.0) as bench:
        await bench.produce("a", 0, 2)
        slow = await bench.log.consumer("group", [PROXY_LOG_TOPIC])
        records = await take(slow, 2)
        await asyncio.sleep(2.5)  # longer than the session: only heartbeats can have kept it
        await slow.commit(past(records))
        assert not slow.lost()
        assert sum((await slow.lag()).values()) == 0
        await slow.close()


async def test_records_that_were_deleted_before_they_were_read_are_reported(bench: KafkaBench) -> None:
    await bench.produce("a", 0, 4)
    consumer = await bench.log.consumer("group", [PROXY_LOG_TOPIC])
    records = await take(consumer, 1)
    await consumer.commit(past(records))
    await consumer.close()
    await bench.delete_before(records[0].partition, 3)
    again = await bench.log.consumer("group", [PROXY_LOG_TOPIC])
    assert numbers(await take(again, 1)) == [3]
    [report] = bench.logger.named("records were deleted before they were read")
    assert (report["expected_offset"], report["found_offset"]) == (1, 3)
    await again.close()


async def test_a_missing_topic_is_named(kafka: str) -> None:
    log = log_of(kafka_settings(kafka))
    with pytest.raises(TopicMissingError, match=r"weir\.proxy-log\.v1; run weir topics apply"):
        await log.consumer("group", [PROXY_LOG_TOPIC])


async def test_brokers_that_are_away_are_a_retryable_error() -> None:
    log = log_of(KafkaSettings(bootstrap_servers="127.0.0.1:1"))
    with pytest.raises(LogUnavailableError, match="Kafka is not there"):
        await log.consumer("group", [PROXY_LOG_TOPIC])


async def test_a_group_needs_a_topic() -> None:
    with pytest.raises(InvalidInputError):
        await log_of(KafkaSettings(bootstrap_servers="127.0.0.1:1")).consumer("group", [])


def log_of(settings: KafkaSettings) -> KafkaEventLog:
    return KafkaEventLog(settings, clock=SystemClock(), logger=RecordingLogger())


async def poll_forever(consumer: KafkaConsumer) -> None:
    while True:
        await consumer.poll(10, 0.1)


async def join_beside(bench: KafkaBench, first: KafkaConsumer) -> tuple[KafkaConsumer, Sequence[LogRecord]]:
    """A second member, once both have their partitions; and what the first was given meanwhile."""
    joining = asyncio.create_task(bench.log.consumer("group", [PROXY_LOG_TOPIC]))
    meanwhile: list[LogRecord] = []
    while not joining.done() or len(await first.lag()) == 2:
        meanwhile += await first.poll(10, 0.1)
    return await joining, meanwhile
