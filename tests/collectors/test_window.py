"""What may be admitted, and how far a partition may be committed."""

from __future__ import annotations

import asyncio
import random

import pytest
from tests.fakes.gateway_events import record

from weir_collectors.window import Window, WindowLimits
from weir_streams.log import Partition

SPOOL = Partition("weir.proxy-log.v1", "spool")


def test_only_the_finished_front_is_committed() -> None:
    window = Window(WindowLimits())
    records = [record(b"", offset) for offset in range(4)]
    for item in records:
        window.admit(item)

    assert window.finish([records[1], records[2]]) == {}
    assert window.finish([records[0]]) == {SPOOL: 3}
    assert window.finish([records[3]]) == {SPOOL: 4}


def test_gaps_between_offsets_do_not_hold_a_commit_back() -> None:
    window = Window(WindowLimits())
    records = [record(b"", offset) for offset in (5, 90, 91)]
    for item in records:
        window.admit(item)

    assert window.finish(records) == {SPOOL: 92}


def test_the_oldest_record_of_each_partition_is_the_first_that_is_not_finished() -> None:
    window = Window(WindowLimits())
    records = [record(b"", offset) for offset in range(3)]
    other = record(b"", 7, name="other")
    for item in (*records, other):
        window.admit(item)
    window.finish([records[0], records[2]])
    assert list(window.oldest()) == [records[1], other]
    window.finish([records[1], other])
    assert list(window.oldest()) == []


def test_partitions_advance_apart() -> None:
    window = Window(WindowLimits())
    stuck, other = record(b"", 0, name="stuck"), record(b"", 7, name="other")
    window.admit(stuck)
    window.admit(other)

    assert window.finish([other]) == {other.partition: 8}
    assert window.finish([stuck]) == {stuck.partition: 1}


@pytest.mark.parametrize("seed", range(20))
def test_a_commit_never_passes_an_unfinished_record(seed: int) -> None:
    shuffled = random.Random(seed)
    window = Window(WindowLimits())
    records = [record(b"", offset) for offset in range(50)]
    for item in records:
        window.admit(item)
    finished: set[int] = set()
    committed = 0

    shuffled.shuffle(records)
    for item in records:
        finished.add(item.offset)
        committed = window.finish([item]).get(SPOOL, committed)
        assert finished.issuperset(range(committed))
    assert committed == 50
    assert window.unfinished == 0


def test_room_ends_with_the_number_of_unfinished_records() -> None:
    window = Window(WindowLimits(unfinished=3))
    records = [record(b"", offset) for offset in range(3)]
    assert window.room() == 3
    for item in records:
        window.admit(item)
    assert window.room() == 0
    window.finish([records[2]])
    assert window.room() == 1


def test_room_ends_with_the_bytes_of_unfinished_records() -> None:
    window = Window(WindowLimits(unfinished_bytes=10))
    large = record(b"x" * 10)
    window.admit(large)
    assert window.room() == 0
    window.finish([large])
    assert window.room() > 0


def test_room_ends_when_too_many_finished_records_wait_behind_an_unfinished_one() -> None:
    window = Window(WindowLimits(uncommitted=3))
    records = [record(b"", offset) for offset in range(3)]
    for item in records:
        window.admit(item)
    window.finish(records[1:])
    assert window.room() == 0
    window.finish(records[:1])
    assert window.room() == 3


async def test_waiting_ends_when_something_is_finished() -> None:
    window = Window(WindowLimits())
    item = record(b"")
    window.admit(item)

    async def finish() -> None:
        window.finish([item])

    await asyncio.gather(window.finished_some(), finish())


async def test_waiting_ends_when_the_time_is_over() -> None:
    await Window(WindowLimits()).finished_some(timeout_s=0.001)


def test_what_was_forgotten_makes_room_and_its_late_end_changes_nothing() -> None:
    window = Window(WindowLimits(unfinished=3, uncommitted=3))
    early, late, kept = record(b"a", 0), record(b"b", 1), record(b"c", 0, name="kept")
    for item in (early, late, kept):
        window.admit(item)
    assert window.room() == 0

    window.forget({SPOOL})
    assert (window.room(), window.unfinished) == (2, 1)
    assert window.finish([early, late]) == {}
    assert window.finish([kept]) == {kept.partition: 1}
    assert (window.room(), window.unfinished) == (3, 0)


def test_the_late_end_of_a_record_is_not_that_of_its_second_delivery() -> None:
    window = Window(WindowLimits())
    first = record(b"", 5)
    window.admit(first)
    window.forget({SPOOL})
    second = record(b"", 5)
    window.admit(second)

    assert window.finish([first]) == {}
    assert window.finish([second]) == {SPOOL: 6}
    assert window.finish([second]) == {}
