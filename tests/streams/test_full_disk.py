"""A disk or a spool that is full: refuse new requests, lose none that was admitted."""

from __future__ import annotations

import contextlib
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from tests.streams.support import (
    SMALL,
    ManualClock,
    RecordingLogger,
    admission,
    all_events,
    append,
    file_size_limit,
    finished_call,
)

from weir_streams.embedded import EmbeddedLog
from weir_streams.errors import SpoolFullError
from weir_streams.events import EVENT_TOPICS
from weir_streams.inflight import Slot
from weir_streams.settings import KIB, MIB
from weir_streams.spool import Spool

pytestmark = pytest.mark.usefixtures("no_keeper")
LARGE_BODY = "x" * 60_000


class Disk:
    """A disk that a test can fill and free: a small tmpfs, or else a limit on file sizes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(root)], capture_output=True, check=False
        )
        self.is_real = mounted.returncode == 0
        self._limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(self) -> None:
        if not self.is_real:
            resource.setrlimit(resource.RLIMIT_FSIZE, (SMALL.segment_bytes - 1, self._limits[1]))
            return
        with (self.root / "ballast").open("wb", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(bytes(4 * KIB))
            except OSError:
                pass

    def free(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self._limits)
        (self.root / "ballast").unlink(missing_ok=True)

    def close(self) -> None:
        self.free()
        if self.is_real:
            subprocess.run(["umount", "-l", str(self.root)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    disk = Disk(tmp_path / "disk")
    yield disk
    disk.close()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def open_on(
    root: Path, clock: ManualClock, logger: RecordingLogger | None = None, **changes: object
) -> Spool:
    settings = msgspec.structs.replace(SMALL, **changes)
    return Spool.open(root, settings=settings, clock=clock, logger=logger or RecordingLogger())


def admit_until_refused(spool: Spool) -> list[Slot]:
    slots: list[Slot] = []
    with contextlib.suppress(SpoolFullError):
        while True:
            slots.append(spool.admit(admission(len(slots))))
    return slots


def test_a_full_disk_refuses_requests_and_loses_none_that_was_admitted(
    disk: Disk, clock: ManualClock
) -> None:
    logger = RecordingLogger()
    spool = open_on(disk.root, clock, logger)
    append(spool, 1000)
    disk.fill()
    slots = admit_until_refused(spool)
    assert slots
    assert not spool.healthy
    for number, slot in enumerate(slots):
        spool.append(
            slot, finished_call(number, slot.event_ids, request_body=LARGE_BODY, response_body=LARGE_BODY)
        )
    assert len(logger.named("spool full")) == 1
    assert logger.named("spool write failed") == []
    logs = [event for event in all_events(disk.root) if "response_code" in event]
    assert [log["request_id"] for log in logs] == [
        "request-1000",
        *(f"request-{n}" for n in range(len(slots))),
    ]
    assert any(log["request_body_truncated"] for log in logs)
    disk.free()
    clock.advance(2)
    append(spool, 2000)
    assert spool.healthy
    spool.close()


def test_what_was_in_flight_on_a_full_disk_is_recovered_on_it(disk: Disk, clock: ManualClock) -> None:
    spool = open_on(disk.root, clock)
    append(spool, 1000)
    disk.fill()
    slots = admit_until_refused(spool)
    for slot in slots:
        slot.mark_sending(model="m", prompt_tokens=1, response_tokens=1, cost_nano=1, metered=True)
    spool._syncer.stop()
    spool._owned.close()
    again = open_on(disk.root, clock)
    assert again.id == spool.id
    logs = [event for event in all_events(disk.root) if "response_code" in event]
    assert [log["outcome"] for log in logs] == ["served"] + ["gateway_error"] * len(slots)
    disk.free()
    again.close()


def test_the_cap_refuses_too_and_the_reason_names_the_setting(tmp_path: Path, clock: ManualClock) -> None:
    spool = open_on(tmp_path, clock, max_bytes=1 * MIB)
    written = 0
    with contextlib.suppress(SpoolFullError):
        while True:
            append(spool, written, request_body="x" * 10_000)
            written += 1
    with pytest.raises(SpoolFullError, match="max_bytes"):
        append(spool, written)
    assert not spool.healthy
    assert written > 50
    assert len([event for event in all_events(tmp_path) if "response_code" in event]) == written
    spool.close()


async def test_consumed_segments_make_room_before_requests_are_refused(
    tmp_path: Path, clock: ManualClock
) -> None:
    spool = open_on(tmp_path, clock, max_bytes=1 * MIB, required_groups=("needed",))
    log = EmbeddedLog(tmp_path, clock=clock, logger=RecordingLogger())
    consumer = await log.consumer("needed", EVENT_TOPICS)
    seen = 0
    for number in range(200):
        append(spool, number, request_body="x" * 10_000)
        records = await consumer.poll(100, 0)
        seen += len(records)
        await consumer.commit({record.partition: record.offset + 1 for record in records})
        spool._syncer.sync_once()
    assert seen == 600
    await consumer.close()
    spool.close()


def test_a_family_larger_than_a_segment_keeps_everything_but_its_bodies(
    tmp_path: Path, clock: ManualClock
) -> None:
    spool = open_on(tmp_path, clock)
    append(spool, 1, request_body="x" * 200_000, metadata={"kept": "yes"})
    (log, _, _) = all_events(tmp_path)
    assert (log["request_body"], log["request_body_truncated"], log["metadata"]) == (
        None,
        True,
        {"kept": "yes"},
    )
    spool.close()


def test_half_of_the_free_disk_is_a_cap(disk: Disk, clock: ManualClock) -> None:
    if not disk.is_real:
        disk.fill()
    spool = open_on(disk.root, clock)
    free = 4 * MIB if disk.is_real else 2 * spool._owned.files.cap
    assert spool._owned.files.cap <= free // 2
    disk.free()
    spool.close()


def test_a_limit_is_lifted_again() -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with file_size_limit(1):
        assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == 1
    assert resource.getrlimit(resource.RLIMIT_FSIZE) == before
