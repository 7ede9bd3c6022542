"""What Kafka refused on this machine: how many events stand aside, of which topics and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from weir_cli.doctor_findings import Finding, Patient, wrong
from weir_streams.kafka.aside import RefusedFile

AREA: Final = "kafka"
_BEFORE_REASON: Final = " was refused: "
_MOST_REASONS: Final = 5
_UNREADABLE: Final = "lines that are no events, which a crash may have left; remove them"


class _Line(msgspec.Struct):
    topic: str
    reason: str


def examine_refused(patient: Patient) -> Iterator[Finding]:
    """Nothing where nothing stands aside. Blocks: reads all of it."""
    file = RefusedFile(patient.data_dir.root, patient.clock)
    counts: Counter[str] = Counter()
    for path in file.files:
        with suppress(FileNotFoundError):
            counts.update(_reasons(path))
    if not counts:
        return
    listed = "; ".join(f"{count} x {reason}" for reason, count in counts.most_common(_MOST_REASONS))
    yield wrong(
        AREA,
        f"{counts.total()} events that Kafka refused have not arrived and stand in {file.path}: {listed}",
        f"mend what the reasons name, then weir events resend --data-dir {patient.data_dir.root}",
    )


def _reasons(path: Path) -> Iterator[str]:
    """Each record's topic and reason, without what differs from one record to the next."""
    with path.open("rb") as lines:
        for line in lines:
            try:
                record = msgspec.json.decode(line, type=_Line)
            except msgspec.DecodeError:
                yield _UNREADABLE
            else:
                yield f"{record.topic}: {record.reason.rpartition(_BEFORE_REASON)[2]}"
