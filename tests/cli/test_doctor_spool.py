"""What ``weir doctor`` says of spools: counted beside their writer, without a lock."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.streams.support import RecordingLogger, append, open_spool

from weir_cli.data_dir import DataDir
from weir_cli.doctor_findings import Level, Patient
from weir_cli.doctor_spool import SpoolFacts, examine_spool, survey
from weir_core.clock import SystemClock
from weir_core.settings import Settings
from weir_streams.embedded import EmbeddedLog
from weir_streams.events import ANALYTICS_TOPIC, EVENT_TOPICS

GROUP = "weir.relay"
MIB = 1024 * 1024


def surveyed(root: Path, *, later_s: float = 0.0, max_bytes: int = 1024 * MIB) -> SpoolFacts:
    now_us = SystemClock().wall_us() + round(later_s * 1_000_000)
    return survey(root, required=(GROUP,), max_bytes=max_bytes, writers=1, now_us=now_us)


async def read(root: Path, group: str, topics: tuple[str, ...], records: int) -> None:
    """Let a group take and commit so many records."""
    log = EmbeddedLog(root, clock=SystemClock(), logger=RecordingLogger())
    consumer = await log.consumer(group, topics)
    left = records
    while left:
        taken = await consumer.poll(left, 5.0)
        left -= len(taken)
        await consumer.commit({record.partition: record.offset + 1 for record in taken})
    await consumer.close()


def test_a_directory_without_spools_has_nothing_waiting(tmp_path: Path) -> None:
    facts = surveyed(tmp_path)
    assert (facts.directories, facts.waiting_events, facts.headroom_s) == (0, 0, None)


def test_what_nobody_has_read_waits_while_its_writer_goes_on(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    for number in range(4):
        append(spool, number)
    facts = surveyed(tmp_path, later_s=60)
    assert facts.waiting_events > 0
    assert facts.waiting_bytes > 0
    assert facts.oldest_s >= 60
    append(spool, 4)
    assert surveyed(tmp_path).waiting_events > facts.waiting_events
    spool.close()


async def test_what_the_required_group_has_committed_waits_no_more(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    append(spool, 1)
    everything = surveyed(tmp_path).waiting_events
    await read(tmp_path, GROUP, tuple(EVENT_TOPICS), everything)
    facts = surveyed(tmp_path)
    assert (facts.waiting_events, facts.waiting_bytes, facts.oldest_s) == (0, 0, 0)
    assert facts.rate_bytes_s > 0
    await asyncio.to_thread(spool.close)


async def test_a_groups_lag_counts_only_the_topics_that_it_reads(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    append(spool, 1)
    await read(tmp_path, "watcher", (ANALYTICS_TOPIC,), 1)
    for number in (2, 3):
        append(spool, number)
    lag = {group.group: group.events for group in surveyed(tmp_path).groups}
    assert lag["watcher"] == 2
    await asyncio.to_thread(spool.close)


@pytest.mark.parametrize(("max_bytes", "level"), [(10 * 1024 * MIB, Level.OK), (1, Level.WRONG)])
def test_the_hours_of_outage_that_there_is_room_for_are_told(
    tmp_path: Path, max_bytes: int, level: Level
) -> None:
    spool = open_spool(tmp_path)
    append(spool, 1)
    facts = surveyed(tmp_path, later_s=3600, max_bytes=max_bytes)
    patient = Patient(Settings(data_dir=tmp_path), DataDir(tmp_path), SystemClock())
    (found,) = [one for one in examine_spool(patient, facts, with_kafka=True) if "a Kafka outage" in one.what]
    assert found.level is level
    spool.close()


def test_a_group_that_stands_before_half_of_the_retention_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "offsets" / "watcher").mkdir(parents=True)
    (tmp_path / "offsets" / "watcher" / "offsets.json").write_text(
        f'{{"topics":["{ANALYTICS_TOPIC}"],"offsets":{{}},"version":1}}'
    )
    spool = open_spool(tmp_path)
    append(spool, 1)
    patient = Patient(Settings(data_dir=tmp_path), DataDir(tmp_path), SystemClock())
    levels = [
        {
            one.level
            for one in examine_spool(patient, surveyed(tmp_path, later_s=hours * 3600), with_kafka=False)
            if "watcher" in one.what
        }
        for hours in (11, 13)
    ]
    assert levels == [{Level.NOTE}, {Level.WRONG}]
    spool.close()
