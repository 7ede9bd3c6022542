"""What the spools hold, read beside whoever writes them: no lock is taken and nothing is changed."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from weir_cli.doctor_findings import HOUR_US, Finding, Patient, in_bytes, in_time, note, ok, wrong
from weir_streams.errors import SpoolFormatError
from weir_streams.home import spool_directories
from weir_streams.log import Partition
from weir_streams.offsets import GroupOffsets, known_groups
from weir_streams.reader import segment_bases
from weir_streams.segment import Record, segment_name
from weir_streams.segment_reader import SegmentReader, Stop

AREA: Final = "spool"
_PIECE_BYTES: Final = 1024 * 1024
_RATE_US: Final = 24 * HOUR_US
_SHORT_H: Final = 1.0


class GroupLag(msgspec.Struct, frozen=True):
    """How far one group stands behind; ``oldest_s`` is the age of the first event that it has not passed."""

    group: str
    events: int
    oldest_s: float


class SpoolFacts(msgspec.Struct, frozen=True):
    """All spools of a data directory together.

    ``waiting_*`` is what the required groups have not all passed; ``headroom_bytes`` what more of that there
    is room for; ``rate_bytes_s`` what was appended, over the last ``rate_basis_s``.
    """

    directories: int
    waiting_events: int
    waiting_bytes: int
    oldest_s: float
    allocated_bytes: int
    headroom_bytes: int
    rate_bytes_s: float
    rate_basis_s: float
    groups: list[GroupLag]

    @property
    def headroom_s(self) -> float | None:
        """How long the room lasts at that rate when nobody reads; None while nothing is appended."""
        return self.headroom_bytes / self.rate_bytes_s if self.rate_bytes_s > 0 else None


@dataclass(slots=True)
class _Group:
    offsets: GroupOffsets
    events: int = 0
    oldest_us: int | None = None

    def meet(self, spool_id: str, record: Record) -> None:
        """Count what this group reads and has not committed."""
        waiting = sum(
            event.topic in self.offsets.topics
            and number >= self.offsets.committed(Partition(event.topic, spool_id))
            for number, event in enumerate(record.events, record.seq)
        )
        self.events += waiting
        if waiting:
            self.oldest_us = min(record.wall_us, self.oldest_us or record.wall_us)


@dataclass(slots=True)
class _Tally:
    """What one pass over the spools adds up."""

    appended: int = 0
    oldest_append_us: int | None = None
    waiting_events: int = 0
    waiting_bytes: int = 0
    oldest_waiting_us: int | None = None
    allocated: int = 0

    def append(self, size: int, wall_us: int) -> None:
        self.appended += size
        self.oldest_append_us = min(wall_us, self.oldest_append_us or wall_us)

    def wait(self, record: Record, events: int) -> None:
        self.waiting_events += events
        self.waiting_bytes += record.size
        self.oldest_waiting_us = min(record.wall_us, self.oldest_waiting_us or record.wall_us)


def survey(
    root: Path,
    *,
    required: Sequence[str],
    max_bytes: int,
    writers: int,
    now_us: int,
) -> SpoolFacts:
    """Read what waits, and a day's segments for the rate. Blocks for as long as reading that takes.

    Args:
        root: The data directory.
        required: Groups that all must have passed an event before it may go.
        max_bytes: Of one writer's spool.
        writers: How many processes write spools.
        now_us: The time that ages are counted to.

    Raises:
        OSError: The disk refused.
        SpoolFormatError: A segment was written by a newer release.
    """
    names = sorted({*known_groups(root), *required})
    groups = {name: _Group(GroupOffsets.load(root, name)) for name in names}
    tally = _Tally()
    directories = spool_directories(root)
    for directory in directories:
        _survey_directory(directory, groups, required, tally, now_us)
    return SpoolFacts(
        directories=len(directories),
        waiting_events=tally.waiting_events,
        waiting_bytes=tally.waiting_bytes,
        oldest_s=_age_s(tally.oldest_waiting_us, now_us),
        allocated_bytes=tally.allocated,
        headroom_bytes=_headroom(root, tally, max_bytes * writers),
        rate_bytes_s=tally.appended / max(1.0, _age_s(tally.oldest_append_us, now_us)),
        rate_basis_s=_age_s(tally.oldest_append_us, now_us),
        groups=[
            GroupLag(name, group.events, _age_s(group.oldest_us, now_us)) for name, group in groups.items()
        ],
    )


def examine_spool(patient: Patient, facts: SpoolFacts, *, with_kafka: bool) -> Iterator[Finding]:
    """What is to be said of them."""
    if not facts.directories:
        yield ok(AREA, "empty; the first request makes it")
        return
    yield ok(
        AREA,
        f"{facts.waiting_events} events ({in_bytes(facts.waiting_bytes)}) wait, the oldest for "
        f"{in_time(facts.oldest_s)}; {in_bytes(facts.allocated_bytes)} on disk",
    )
    yield from _outage(facts, with_kafka=with_kafka)
    yield from _late(patient, facts.groups)


def _outage(facts: SpoolFacts, *, with_kafka: bool) -> Iterator[Finding]:
    what = "Kafka outage" if with_kafka else "outage of the collectors"
    if facts.headroom_s is None:
        yield ok(
            AREA, f"room for {in_bytes(facts.headroom_bytes)} more; nothing was appended in the last day"
        )
        return
    hours = facts.headroom_s / 3600
    room = (
        f"room for an {what} of {hours:.1f} hours at the rate of the last {in_time(facts.rate_basis_s)} "
        f"({in_bytes(facts.rate_bytes_s)}/s)"
    ).replace("an Kafka", "a Kafka")
    if hours < _SHORT_H:
        yield wrong(
            AREA,
            room,
            "raise spool.max_bytes, give the data directory a larger disk, or see why "
            "consumers do not keep up (weir doctor shows their lag)",
        )
    else:
        yield ok(AREA, room)


def _late(patient: Patient, groups: Iterable[GroupLag]) -> Iterator[Finding]:
    half_s = patient.settings.spool.retention_hours * 3600 / 2
    for group in groups:
        line = f"group {group.group}: {group.events} events behind"
        if group.events and group.oldest_s > half_s:
            yield wrong(
                AREA,
                f"{line}, the oldest for {in_time(group.oldest_s)}: more than half of spool.retention_hours",
                "see the log of the process that consumes it; a collector's breaker may be open",
            )
        else:
            yield (note if group.events else ok)(AREA, line)


def _survey_directory(
    directory: Path, groups: dict[str, _Group], required: Sequence[str], tally: _Tally, now_us: int
) -> None:
    passed = {name: group.offsets.passed(directory.name) for name, group in groups.items()}
    least = min(passed.values(), default=0)
    least_required = min((passed[name] for name in required), default=0)
    tally.allocated += _allocated(directory)
    bases = segment_bases(directory)
    for base, next_base in itertools.zip_longest(bases, bases[1:]):
        consumed = next_base is not None and next_base <= least
        path = directory / segment_name(base)
        with contextlib.suppress(FileNotFoundError):
            status = path.stat()
            if consumed and status.st_mtime_ns // 1000 < now_us - _RATE_US:
                continue
            for record in _records(directory, base):
                if record.wall_us >= now_us - _RATE_US:
                    tally.append(record.size, record.wall_us)
                if consumed:
                    continue
                for group in groups.values():
                    group.meet(directory.name, record)
                waiting = max(0, record.next_seq - max(record.seq, least_required))
                if waiting:
                    tally.wait(record, waiting)


def _records(directory: Path, base: int) -> Iterator[Record]:
    reader = SegmentReader(directory, base)
    try:
        stop = Stop.MORE
        while stop is Stop.MORE:
            records, stop = reader.read(_PIECE_BYTES, lambda _at, _gap: None)
            yield from records
    finally:
        reader.close()


def _allocated(directory: Path) -> int:
    total = 0
    for entry in os.scandir(directory):
        with contextlib.suppress(FileNotFoundError):
            if entry.name.endswith((".seg", ".spare")):
                total += entry.stat().st_size
    return total


def _headroom(root: Path, tally: _Tally, cap: int) -> int:
    """Consumed segments give way, so only what waits takes room; half the free disk is the cap."""
    place = root if root.exists() else root.parent
    try:
        disk = os.statvfs(place)
    except FileNotFoundError:
        return cap
    on_disk = tally.allocated + disk.f_bavail * disk.f_frsize // 2
    return max(0, min(cap, on_disk) - tally.waiting_bytes)


def _age_s(moment_us: int | None, now_us: int) -> float:
    return 0.0 if moment_us is None else max(0.0, (now_us - moment_us) / 1_000_000)


def unreadable(error: OSError | SpoolFormatError) -> Finding:
    """The spools could not be read."""
    return wrong(AREA, f"cannot be read: {error}", "check the rights and the disk of the data directory")
