"""A file for the records that Kafka refuses in every form, so that they hold nothing up and are not lost."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from weir_core.clock import Clock, rfc3339
from weir_streams.durable import sync_directory
from weir_streams.kafka.outgoing import Unsendable

_FILE_NAME: Final = "refused.jsonl"


class RefusedRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the file. ``spool_id`` and ``seq`` identify a record that was set aside twice."""

    at: str
    reason: str
    topic: str
    spool_id: str
    seq: int
    key_base64: str
    value_base64: str


class RefusedFile:
    """``<data directory>/relay/refused.jsonl``, only ever appended to.

    Args:
        root: The data directory.
        clock: Stamps each line.
    """

    def __init__(self, root: Path, clock: Clock) -> None:
        self.path = root / "relay" / _FILE_NAME
        self._clock = clock

    def append(self, refused: Sequence[Unsendable]) -> None:
        """Write the records durably. Blocks.

        Raises:
            OSError: The disk refused; none or some are there.
        """
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lines = b"".join(msgspec.json.encode(self._line(one)) + b"\n" for one in refused)
        fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())
        sync_directory(self.path.parent)

    def _line(self, refused: Unsendable) -> RefusedRecord:
        record = refused.record
        return RefusedRecord(
            at=rfc3339(self._clock.wall_us()),
            reason=refused.reason,
            topic=record.partition.topic,
            spool_id=record.partition.name,
            seq=record.offset,
            key_base64=base64.b64encode(record.key).decode(),
            value_base64=base64.b64encode(record.value).decode(),
        )
