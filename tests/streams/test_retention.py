"""Which segments go, and which never do."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest
from tests.streams.support import SMALL, ManualClock, RecordingLogger, append, open_spool, read_all

from weir_streams.events import EVENT_TOPICS, PROXY_LOG_TOPIC
from weir_streams.home import SpoolHome, spool_directories
from weir_streams.log import Partition
from weir_streams.offsets import GroupOffsets, group_directory
from weir_streams.reader import segment_bases
from weir_streams.retention import Retention
from weir_streams.segment import segment_name
from weir_streams.settings import SpoolSettings

HOUR_S = 3600.0

pytestmark = pytest.mark.usefixtures("no_keeper")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def spool(tmp_path: Path, clock: ManualClock) -> Path:
    """A left directory with four sealed segments, all written at the clock's start."""
    spool = open_spool(tmp_path)
    for number in range(40):
        append(spool, number, request_body="x" * 10_000)
    spool.close()
    (directory,) = spool_directories(tmp_path)
    assert len(segment_bases(directory)) == 4
    _date(directory, clock)
    return directory


def retention(root: Path, clock: ManualClock, **changes: object) -> Retention:
    settings: SpoolSettings = msgspec.structs.replace(SMALL, **changes)
    return Retention(root, settings, clock, RecordingLogger())


def commit(directory: Path, group: str, segments: int, topics: tuple[str, ...] = EVENT_TOPICS) -> None:
    """Let a group have consumed so many of the directory's segments."""
    bases = [*segment_bases(directory), 10**9]
    root = directory.parent.parent
    group_directory(root, group).mkdir(parents=True, exist_ok=True)
    offsets = {Partition(topic, directory.name): bases[segments] for topic in topics}
    GroupOffsets.load(root, group).store(offsets, topics, [directory.name])


def test_old_consumed_segments_go_and_the_others_stay(
    tmp_path: Path, spool: Path, clock: ManualClock
) -> None:
    bases = segment_bases(spool)
    commit(spool, "one", 2)
    clock.advance(25 * HOUR_S)
    assert retention(tmp_path, clock).apply(spool) == 2
    assert segment_bases(spool) == bases[2:]


def test_young_segments_stay_while_they_are_few(tmp_path: Path, spool: Path, clock: ManualClock) -> None:
    commit(spool, "one", 4)
    clock.advance(23 * HOUR_S)
    assert retention(tmp_path, clock).apply(spool) == 0


def test_the_oldest_go_when_the_consumed_ones_are_too_many(
    tmp_path: Path, spool: Path, clock: ManualClock
) -> None:
    bases = segment_bases(spool)
    commit(spool, "one", 4)
    two = sum((spool / segment_name(base)).stat().st_size for base in bases[2:])
    assert retention(tmp_path, clock, retention_bytes=two).apply(spool) == 2
    assert segment_bases(spool) == bases[2:]


@pytest.mark.parametrize("slow", ["known", "required"])
def test_the_slowest_group_decides(tmp_path: Path, spool: Path, clock: ManualClock, slow: str) -> None:
    commit(spool, "fast", 4)
    commit(spool, slow, 1)
    clock.advance(25 * HOUR_S)
    assert (
        retention(tmp_path, clock, required_groups=("required",) if slow == "required" else ()).apply(spool)
        == 1
    )


def test_a_required_group_that_never_came_holds_everything(
    tmp_path: Path, spool: Path, clock: ManualClock
) -> None:
    commit(spool, "fast", 4)
    clock.advance(25 * HOUR_S)
    keeper = retention(tmp_path, clock, required_groups=("absent",))
    assert keeper.apply(spool) == 0
    assert not keeper.make_room(spool)


def test_a_topic_that_lags_holds_its_segments(tmp_path: Path, spool: Path, clock: ManualClock) -> None:
    commit(spool, "one", 4)
    bases = segment_bases(spool)
    group = GroupOffsets.load(tmp_path, "two")
    group_directory(tmp_path, "two").mkdir(parents=True)
    group.store({Partition(PROXY_LOG_TOPIC, spool.name): bases[3]}, EVENT_TOPICS, [spool.name])
    clock.advance(25 * HOUR_S)
    assert retention(tmp_path, clock).apply(spool) == 0


def test_without_any_group_nothing_ever_goes(tmp_path: Path, spool: Path, clock: ManualClock) -> None:
    clock.advance(1000 * HOUR_S)
    assert retention(tmp_path, clock).apply(spool) == 0
    assert not retention(tmp_path, clock).make_room(spool)


def test_for_room_only_the_required_groups_are_waited_for(
    tmp_path: Path, spool: Path, clock: ManualClock
) -> None:
    commit(spool, "required", 1)
    commit(spool, "forgotten", 0)
    keeper = retention(tmp_path, clock, required_groups=("required",))
    assert keeper.apply(spool) == 0
    assert keeper.make_room(spool)
    assert not keeper.make_room(spool)
    assert len(segment_bases(spool)) == 3


def test_a_group_is_waited_for_only_while_the_configuration_has_it(
    tmp_path: Path, spool: Path, clock: ManualClock
) -> None:
    commit(spool, "required", 4)
    commit(spool, "observer", 1)
    clock.advance(25 * HOUR_S)
    present = ["observer"]
    settings = msgspec.structs.replace(SMALL, required_groups=("required",))
    keeper = Retention(tmp_path, settings, clock, RecordingLogger(), lambda: present)
    assert keeper.apply(spool) == 1
    present.clear()
    assert keeper.apply(spool) == 3


def test_a_group_of_the_configuration_that_has_not_come_yet_holds_everything_but_room(
    tmp_path: Path, spool: Path, clock: ManualClock
) -> None:
    commit(spool, "required", 4)
    clock.advance(25 * HOUR_S)
    settings = msgspec.structs.replace(SMALL, required_groups=("required",))
    keeper = Retention(tmp_path, settings, clock, RecordingLogger(), lambda: ["observer"])
    assert keeper.apply(spool) == 0
    assert keeper.make_room(spool)


def test_before_there_is_a_configuration_every_group_that_ever_joined_is_waited_for(
    tmp_path: Path, spool: Path, clock: ManualClock
) -> None:
    commit(spool, "required", 4)
    commit(spool, "observer", 1)
    clock.advance(25 * HOUR_S)
    settings = msgspec.structs.replace(SMALL, required_groups=("required",))
    assert Retention(tmp_path, settings, clock, RecordingLogger(), lambda: None).apply(spool) == 1


def test_the_segment_being_written_is_never_deleted(tmp_path: Path, clock: ManualClock) -> None:
    spool = open_spool(tmp_path)
    append(spool, 1)
    (directory,) = spool_directories(tmp_path)
    commit(directory, "one", 1)
    clock.advance(25 * HOUR_S)
    assert retention(tmp_path, clock).apply(directory) == 0
    append(spool, 2)
    spool.close()
    assert len(read_all(directory)) == 2


def test_an_orphaned_directory_goes_when_it_is_empty_and_old(
    tmp_path: Path, spool: Path, clock: ManualClock
) -> None:
    home = SpoolHome(tmp_path, SMALL, clock, RecordingLogger())
    keeper = retention(tmp_path, clock)
    commit(spool, "one", 4)
    clock.advance(25 * HOUR_S)
    home.sweep(keeper)
    assert segment_bases(spool) == []
    _date(spool, clock)
    home.sweep(keeper)
    assert spool.exists()
    clock.advance(25 * HOUR_S)
    home.sweep(keeper)
    assert not spool.exists()


def test_a_directory_whose_owner_lives_is_not_swept(tmp_path: Path, clock: ManualClock) -> None:
    spool = open_spool(tmp_path)
    (directory,) = spool_directories(tmp_path)
    _date(directory, clock)
    clock.advance(1000 * HOUR_S)
    SpoolHome(tmp_path, SMALL, clock, RecordingLogger()).sweep(retention(tmp_path, clock))
    assert directory.exists()
    append(spool, 1)
    spool.close()


def _date(directory: Path, clock: ManualClock) -> None:
    """Make a directory and its files as old as the clock says."""
    seconds = clock.wall / 1_000_000
    for path in (*directory.iterdir(), directory):
        os.utime(path, (seconds, seconds))
