"""What every ``EventLog`` must do, whatever it is made of.

Subclass ``EventLogContract`` in a test module and give it a ``bench`` fixture.
"""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import msgspec
import pytest

from weir_streams.errors import GroupBusyError, LogUnavailableError
from weir_streams.events import ANALYTICS_TOPIC, EVENT_TOPICS, PROXY_LOG_TOPIC
from weir_streams.log import Consumer, EventLog, LogRecord, Partition


class LogBench(ABC):
    """A log under test, and a way to put families into it."""

    log: EventLog

    @abstractmethod
    async def produce(self, writer: str, first: int, count: int) -> None:
        """Append families ``first`` ... in order, as the worker called ``writer``; they are readable after."""

    @abstractmethod
    async def crash(self, consumer: Consumer) -> None:
        """End a consumer as its process's death would: nothing is committed, the group becomes free."""


class EventLogContract:
    """The promises of ``weir_streams.log``."""

    async def test_an_empty_log_has_nothing_to_say(self, bench: LogBench) -> None:
        consumer = await bench.log.consumer("group", EVENT_TOPICS)
        assert await consumer.poll(10, 0) == []
        assert sum((await consumer.lag()).values()) == 0
        await consumer.close()

    async def test_a_new_group_starts_at_the_earliest_record(self, bench: LogBench) -> None:
        await bench.produce("a", 0, 5)
        consumer = await bench.log.consumer("group", [PROXY_LOG_TOPIC])
        assert numbers(await take(consumer, 5)) == [0, 1, 2, 3, 4]
        await consumer.close()

    async def test_records_carry_key_value_topic_and_a_growing_offset(self, bench: LogBench) -> None:
        await bench.produce("a", 0, 3)
        consumer = await bench.log.consumer("group", [ANALYTICS_TOPIC])
        records = await take(consumer, 3)
        assert {record.partition.topic for record in records} == {ANALYTICS_TOPIC}
        assert {record.key for record in records} == {b"7"}
        assert msgspec.json.decode(records[0].value)["prompt_tokens"] == 5
        assert records[0].offset < records[1].offset < records[2].offset
        await consumer.close()

    async def test_only_the_topics_asked_for_are_read(self, bench: LogBench) -> None:
        await bench.produce("a", 0, 2)
        consumer = await bench.log.consumer("group", EVENT_TOPICS)
        records = await take(consumer, 6)
        assert sorted(record.partition.topic for record in records) == sorted(EVENT_TOPICS * 2)
        await consumer.close()

    async def test_order_is_kept_within_a_partition_however_small_the_polls(self, bench: LogBench) -> None:
        for start in range(0, 40, 10):
            await bench.produce("a", start, 10)
            await bench.produce("b", 100 + start, 10)
        consumer = await bench.log.consumer("group", [PROXY_LOG_TOPIC])
        records = await take(consumer, 80, at_once=3)
        for partition in {record.partition for record in records}:
            own = [record for record in records if record.partition == partition]
            assert numbers(own) == sorted(numbers(own))
            assert [record.offset for record in own] == sorted(record.offset for record in own)
        assert sorted(numbers(records)) == [*range(40), *range(100, 140)]
        await consumer.close()

    async def test_a_poll_never_gives_more_than_asked(self, bench: LogBench) -> None:
        await bench.produce("a", 0, 10)
        consumer = await bench.log.consumer("group", EVENT_TOPICS)
        assert len(await consumer.poll(1, 5)) == 1
        assert 1 <= len(await consumer.poll(4, 5)) <= 4
        await consumer.close()

    async def test_a_poll_waits_for_what_is_written_meanwhile(self, bench: LogBench) -> None:
        consumer = await bench.log.consumer("group", [PROXY_LOG_TOPIC])
        waiting = asyncio.create_task(take(consumer, 1))
        await bench.produce("a", 0, 1)
        assert numbers(await waiting) == [0]
        await consumer.close()

    async def test_what_was_not_committed_comes_again_after_a_crash(self, bench: LogBench) -> None:
        await bench.produce("a", 0, 6)
        consumer = await bench.log.consumer("group", [PROXY_LOG_TOPIC])
        records = await take(consumer, 6)
        await consumer.commit(past(records[:2]))
        await bench.crash(consumer)
        again = await bench.log.consumer("group", [PROXY_LOG_TOPIC])
        assert numbers(await take(again, 4)) == [2, 3, 4, 5]
        await again.close()

    async def test_without_any_commit_everything_comes_again(self, bench: LogBench) -> None:
        await bench.produce("a", 0, 3)
        consumer = await bench.log.consumer("group", [PROXY_LOG_TOPIC])
        await take(consumer, 3)
        await bench.crash(consumer)
        again = await bench.log.consumer("group", [PROXY_LOG_TOPIC])
        assert numbers(await take(again, 3)) == [0, 1, 2]
        await again.close()

    async def test_a_commit_of_a_finished_prefix_holds_per_partition(self, bench: LogBench) -> None:
        await bench.produce("a", 0, 4)
        await bench.produce("b", 100, 4)
        consumer = await bench.log.consumer("group", [PROXY_LOG_TOPIC])
        records = await take(consumer, 8)
        of_a = [record for record in records if numbers([record])[0] < 100]
        await consumer.commit(past(of_a[:3]))
        await bench.crash(consumer)
        again = await bench.log.consumer("group", [PROXY_LOG_TOPIC])
        assert sorted(numbers(await take(again, 5))) == [3, 100, 101, 102, 103]
        await again.close()

    async def test_topics_are_committed_apart(self, bench: LogBench) -> None:
        await bench.produce("a", 0, 2)
        consumer = await bench.log.consumer("group", [PROXY_LOG_TOPIC, ANALYTICS_TOPIC])
        records = await take(consumer, 4)
        await consumer.commit(past([item for item in records if item.partition.topic == PROXY_LOG_TOPIC]))
        await bench.crash(consumer)
        again = await bench.log.consumer("group", [PROXY_LOG_TOPIC, ANALYTICS_TOPIC])
        records = await take(again, 2)
        assert {record.partition.topic for record in records} == {ANALYTICS_TOPIC}
        assert numbers(records) == [0, 1]
        await again.close()

    async def test_a_start_is_where_it_reads_on_whatever_the_group_has_committed(
        self, bench: LogBench
    ) -> None:
        await bench.produce("a", 0, 4)
        consumer = await bench.log.consumer("group", [PROXY_LOG_TOPIC])
        records = await take(consumer, 4)
        await consumer.commit(past(records))
        await consumer.close()
        await bench.produce("a", 4, 1)
        start = past(records[:2])
        again = await bench.log.consumer("group", [PROXY_LOG_TOPIC], start=start)
        assert numbers(await take(again, 3)) == [2, 3, 4]
        await again.close()

    async def test_what_a_start_does_not_name_is_read_from_its_earliest_record(self, bench: LogBench) -> None:
        await bench.produce("a", 0, 2)
        consumer = await bench.log.consumer("group", [PROXY_LOG_TOPIC])
        await consumer.commit(past(await take(consumer, 2)))
        await consumer.close()
        again = await bench.log.consumer("group", [PROXY_LOG_TOPIC], start={})
        assert numbers(await take(again, 2)) == [0, 1]
        await again.close()

    async def test_groups_know_nothing_of_each_other(self, bench: LogBench) -> None:
        await bench.produce("a", 0, 3)
        one = await bench.log.consumer("one", [PROXY_LOG_TOPIC])
        two = await bench.log.consumer("two", [PROXY_LOG_TOPIC])
        records = await take(one, 3)
        await one.commit(past(records))
        assert numbers(await take(two, 3)) == [0, 1, 2]
        assert sum((await one.lag()).values()) == 0
        assert sum((await two.lag()).values()) == 3
        await one.close()
        await two.close()

    async def test_lag_counts_what_is_not_committed(self, bench: LogBench) -> None:
        await bench.produce("a", 0, 10)
        consumer = await bench.log.consumer("group", [PROXY_LOG_TOPIC])
        assert sum((await consumer.lag()).values()) == 10
        records = await take(consumer, 6)
        assert sum((await consumer.lag()).values()) == 10
        await consumer.commit(past(records[:4]))
        assert sum((await consumer.lag()).values()) == 6
        await bench.produce("a", 10, 5)
        assert sum((await consumer.lag()).values()) == 11
        records += await take(consumer, 9)
        await consumer.commit(past(records))
        assert sum((await consumer.lag()).values()) == 0
        await consumer.close()

    async def test_lag_is_known_again_after_a_rejoin(self, bench: LogBench) -> None:
        await bench.produce("a", 0, 10)
        consumer = await bench.log.consumer("group", [PROXY_LOG_TOPIC])
        await consumer.commit(past((await take(consumer, 10))[:3]))
        await consumer.close()
        again = await bench.log.consumer("group", [PROXY_LOG_TOPIC])
        assert sum((await again.lag()).values()) == 7
        await again.close()

    async def test_a_new_partition_is_noticed_while_polling(self, bench: LogBench) -> None:
        await bench.produce("a", 0, 1)
        consumer = await bench.log.consumer("group", [PROXY_LOG_TOPIC])
        await take(consumer, 1)
        waiting = asyncio.create_task(take(consumer, 2))
        await bench.produce("b", 100, 2)
        assert numbers(await waiting) == [100, 101]
        await consumer.close()

    async def test_a_member_that_left_can_join_again_where_it_was(self, bench: LogBench) -> None:
        await bench.produce("a", 0, 4)
        consumer = await bench.log.consumer("group", [PROXY_LOG_TOPIC])
        await consumer.commit(past(await take(consumer, 4)))
        await consumer.close()
        await bench.produce("a", 4, 2)
        again = await bench.log.consumer("group", [PROXY_LOG_TOPIC])
        assert numbers(await take(again, 2)) == [4, 5]
        await again.close()

    async def test_leaving_commits_nothing(self, bench: LogBench) -> None:
        await bench.produce("a", 0, 2)
        consumer = await bench.log.consumer("group", [PROXY_LOG_TOPIC])
        await take(consumer, 2)
        await consumer.close()
        again = await bench.log.consumer("group", [PROXY_LOG_TOPIC])
        assert numbers(await take(again, 2)) == [0, 1]
        await again.close()

    async def test_a_closed_consumer_says_so(self, bench: LogBench) -> None:
        consumer = await bench.log.consumer("group", [PROXY_LOG_TOPIC])
        await consumer.close()
        with pytest.raises(LogUnavailableError):
            await consumer.poll(1, 0)

    async def test_a_commit_never_goes_back(self, bench: LogBench) -> None:
        await bench.produce("a", 0, 4)
        consumer = await bench.log.consumer("group", [PROXY_LOG_TOPIC])
        records = await take(consumer, 4)
        await consumer.commit(past(records))
        await consumer.commit(past(records[:2]))
        assert sum((await consumer.lag()).values()) == 0
        await bench.crash(consumer)
        again = await bench.log.consumer("group", [PROXY_LOG_TOPIC])
        assert await again.poll(10, 0.2) == []
        await again.close()

    async def test_a_commit_for_another_members_partition_is_passed_over(self, bench: LogBench) -> None:
        await bench.produce("a", 0, 2)
        consumer = await bench.log.consumer("group", [PROXY_LOG_TOPIC])
        records = await take(consumer, 2)
        await consumer.commit({Partition(PROXY_LOG_TOPIC, "4711"): 5, **past(records)})
        assert sum((await consumer.lag()).values()) == 0
        await consumer.close()

    async def test_a_member_that_is_alone_loses_nothing(self, bench: LogBench) -> None:
        await bench.produce("a", 0, 2)
        consumer = await bench.log.consumer("group", [PROXY_LOG_TOPIC])
        await take(consumer, 2)
        assert not consumer.lost()
        await consumer.close()

    async def test_two_members_never_share_a_partition(self, bench: LogBench) -> None:
        await bench.produce("a", 0, 4)
        first = await bench.log.consumer("group", [PROXY_LOG_TOPIC])
        await take(first, 4)
        with contextlib.suppress(GroupBusyError):
            second = await bench.log.consumer("group", [PROXY_LOG_TOPIC])
            shared = await second.poll(10, 0)
            assert not {record.partition for record in shared} & set(await first.lag())
            await second.close()
        await first.close()


async def take(consumer: Consumer, count: int, at_once: int = 100) -> list[LogRecord]:
    """Poll until ``count`` records have come."""
    records: list[LogRecord] = []
    while len(records) < count:
        records += await consumer.poll(min(at_once, count - len(records)), 5)
    return records


def past(records: Sequence[LogRecord]) -> Mapping[Partition, int]:
    """The offsets to commit when all of these are finished."""
    ends: dict[Partition, int] = {}
    for record in records:
        ends[record.partition] = max(ends.get(record.partition, 0), record.offset + 1)
    return ends


def numbers(records: Sequence[LogRecord]) -> list[int]:
    """Which families the records are of."""
    return [
        int(msgspec.json.decode(record.value)["request_id"].removeprefix("request-")) for record in records
    ]
