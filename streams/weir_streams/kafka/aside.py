"""A file for the records that Kafka refuses in every form, so that they hold nothing up and are not lost."""

from __future__ import annotations

import base64
import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from weir_core.clock import Clock, rfc3339
from weir_streams.durable import sync_directory
from weir_streams.kafka.outgoing import Unsendable

_FILE_NAME: Final = "refused.jsonl"
_TAKEN_NAME: Final = "refused.taken.jsonl"


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
    """``<data directory>/relay/refused.jsonl``: the relay appends, and somebody may take all of it away.

    Args:
        root: The data directory.
        clock: Stamps each line.
    """

    def __init__(self, root: Path, clock: Clock) -> None:
        self.path = root / "relay" / _FILE_NAME
        self._taken = self.path.with_name(_TAKEN_NAME)
        self._clock = clock

    def append(self, refused: Sequence[Unsendable]) -> None:
        """Write the records durably. Blocks.

        Raises:
            OSError: The disk refused; none or some are there.
        """
        self.append_lines([msgspec.json.encode(self._line(one)) for one in refused])

    def append_lines(self, lines: Sequence[bytes]) -> None:
        """Write lines as they are, durably. Blocks. Raises as ``append``."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._locked(create=True) as file:
            # What a crash left of a last line must not spoil this one.
            size = file.seek(0, os.SEEK_END)
            begun = size > 0 and os.pread(file.fileno(), 1, size - 1) != b"\n"
            file.write(b"\n" * begun + b"".join(line + b"\n" for line in lines))
            file.flush()
            os.fsync(file.fileno())
        sync_directory(self.path.parent)

    @property
    def is_taken(self) -> bool:
        """Whether something was taken and is not ``done`` with."""
        return self._taken.exists()

    def take(self) -> Path | None:
        """Put the file where nobody appends to it; None when there is none. Blocks.

        What was taken before and is not ``done`` with comes first, and alone.

        Raises:
            OSError: The disk refused.
        """
        if not self.is_taken and self.path.exists():
            with self._locked(create=False):
                self.path.rename(self._taken)
                sync_directory(self.path.parent)
        return self._taken if self.is_taken else None

    def done(self) -> None:
        """Remove what was taken. Blocks.

        Raises:
            OSError: The disk refused.
        """
        self._taken.unlink()
        sync_directory(self.path.parent)

    @property
    def files(self) -> Sequence[Path]:
        """Where records may stand, the oldest first; a file that is named need not exist."""
        return self._taken, self.path

    def size(self) -> int:
        """The bytes of all that stand aside."""
        total = 0
        for path in self.files:
            with suppress(FileNotFoundError):
                total += path.stat().st_size
        return total

    @contextmanager
    def _locked(self, *, create: bool) -> Iterator[BinaryIO]:
        """The file that has the name now, with nobody else in it."""
        flags = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | (os.O_CREAT if create else 0)
        while True:
            with os.fdopen(os.open(self.path, flags, 0o600), "ab+") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                if self._is_named(file):
                    yield file
                    return

    def _is_named(self, file: BinaryIO) -> bool:
        """Whether it was not taken away between our open and our lock."""
        try:
            return self.path.stat().st_ino == os.fstat(file.fileno()).st_ino
        except FileNotFoundError:
            return False

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
