"""What waits in the spools: the same as a whole reading finds, without one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.streams.support import RecordingLogger, append, open_spool

from weir_core.clock import SystemClock
from weir_streams.backlog import Backlog, SpoolBacklog
from weir_streams.embedded import EmbeddedLog
from weir_streams.events import EVENT_TOPICS
from weir_streams.home import spool_directories
from weir_streams.reader import SpoolReader, segment_bases
from weir_streams.segment import Record, segment_name

pytestmark = pytest.mark.usefixtures("no_keeper")

GROUP = "readers"
PER_FAMILY = len(EVENT_TOPICS)


def records(root: Path) -> list[Record]:
    """All families, read whole."""
    found = []
    for directory in spool_directories(root):
        reader = SpoolReader(directory, 0, report=lambda _damage: None, monotonic=float, patience_s=0)
        while not reader.at_end:
            found += reader.read(1 << 20)
        reader.close()
    return found


async def read(root: Path, events: int) -> None:
    """Let the group take and commit so many events."""
    log = EmbeddedLog(root, clock=SystemClock(), logger=RecordingLogger())
    consumer = await log.consumer(GROUP, EVENT_TOPICS)
    while events:
        taken = await consumer.poll(events, 5.0)
        events -= len(taken)
        await consumer.commit({record.partition: record.offset + 1 for record in taken})
    await consumer.close()


async def test_all_that_is_written_waits_until_it_is_passed(tmp_path: Path) -> None:
    backlog = SpoolBacklog(tmp_path, [GROUP])
    assert backlog.measure() == Backlog()
    spool = open_spool(tmp_path)
    for number in range(40):
        append(spool, number, request_body="x" * 10_000)
    whole = records(tmp_path)
    assert len(segment_bases(spool_directories(tmp_path)[0])) > 1
    expected = Backlog(40 * PER_FAMILY, sum(one.size for one in whole), whole[0].wall_us)
    assert backlog.measure() == expected == SpoolBacklog(tmp_path, [GROUP]).measure()
    await read(tmp_path, 40 * PER_FAMILY)
    assert backlog.measure() == Backlog()
    append(spool, 40)
    assert backlog.measure().events == PER_FAMILY
    spool.close()


async def test_a_second_reader_that_starts_at_the_backlog_finds_the_same(tmp_path: Path) -> None:
    backlog = SpoolBacklog(tmp_path, [GROUP])
    spool = open_spool(tmp_path)
    for number in range(30):
        append(spool, number, request_body="x" * 10_000)
    backlog.measure()
    await read(tmp_path, 20 * PER_FAMILY)
    known, anew = backlog.measure(), SpoolBacklog(tmp_path, [GROUP]).measure()
    assert known.events == anew.events == 10 * PER_FAMILY
    assert known.size == pytest.approx(sum(one.size for one in records(tmp_path)[20:]), rel=0.05)
    spool.close()


async def test_numbers_that_jump_over_a_restart_count_as_no_events(tmp_path: Path) -> None:
    for number in range(3):
        spool = open_spool(tmp_path)
        append(spool, number)
        spool.close()
    assert SpoolBacklog(tmp_path, [GROUP]).measure().events == 3 * PER_FAMILY


async def test_behind_a_damaged_place_it_goes_on(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    for number in range(3):
        append(spool, number)
    first, _, _ = records(tmp_path)
    (directory,) = spool_directories(tmp_path)
    fd = os.open(directory / segment_name(segment_bases(directory)[0]), os.O_WRONLY)
    os.pwrite(fd, b"rot", 64 + first.size)
    os.close(fd)
    assert SpoolBacklog(tmp_path, [GROUP]).measure().events == 2 * PER_FAMILY
    spool.close()


def test_the_oldest_events_age_is_counted_to_the_present(tmp_path: Path) -> None:
    assert Backlog().age_s(5) == 0
    assert Backlog(1, 10, oldest_us=1_000_000).age_s(3_500_000) == 2.5
