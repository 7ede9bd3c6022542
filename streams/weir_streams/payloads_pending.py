"""Which of a worker's payloads have no result yet: in memory, and in a file that survives the process.

The file says which payloads were without a result up to which sequence number of the worker's spool; those
behind it are read from the spool again. The results' offsets are committed after the file is written, so
neither a payload nor a result can be missed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from weir_streams.durable import sync_directory
from weir_streams.payloads import EDGE_PAYLOAD_TOPIC, decode_payload
from weir_streams.reader import SpoolReader

_PIECE_BYTES: Final = 1024 * 1024
_SUFFIX: Final = ".json"
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]")


class _State(msgspec.Struct):
    """``pending`` has each payload's id and encoded size."""

    spool_id: str
    next_seq: int
    pending: dict[str, int]


class PendingPayloads:
    """The payloads of one worker. Belongs to one thread, but for ``write``.

    Args:
        root: The data directory; all workers that share it are one edge.
        worker: The worker's name, the same after a restart.
    """

    def __init__(self, root: Path, worker: str) -> None:
        self._directory = root / "edge-payloads"
        self._path = self._directory / (_UNSAFE.sub("_", worker) + _SUFFIX)
        self._pending: dict[str, int] = {}
        self._bytes = 0
        self._others = 0

    @property
    def own(self) -> int:
        """How many payloads of this worker have no result yet."""
        return len(self._pending)

    @property
    def own_bytes(self) -> int:
        """How large they are together, as they were encoded."""
        return self._bytes

    @property
    def count(self) -> int:
        """How many payloads of this edge have no result yet; other workers' as of a second ago."""
        return len(self._pending) + self._others

    def recover(self, spool: Path, monotonic: Callable[[], float]) -> None:
        """Read the file, and what the spool has behind it. Blocks; before the worker sends anything.

        Raises:
            OSError: The disk refused.
        """
        state = self._read(self._path)
        for payload_id, size in state.pending.items():
            self.add(payload_id, size)
        start = state.next_seq if state.spool_id == spool.name else 0
        reader = SpoolReader(spool, start, report=lambda _: None, monotonic=monotonic, patience_s=0)
        try:
            while not reader.at_end:
                for record in reader.read(_PIECE_BYTES):
                    for seq, event in enumerate(record.events, record.seq):
                        if event.topic == EDGE_PAYLOAD_TOPIC and seq >= start:
                            self.add(decode_payload(event.value).event_id, len(event.value))
        finally:
            reader.close()
        self.look_at_others()

    def add(self, payload_id: str, size: int) -> None:
        """Take note of a payload that was sent."""
        self._pending[payload_id] = size
        self._bytes += size

    def settle(self, payload_id: str) -> bool:
        """Take note of a result; whether it was the first one of a payload of this worker."""
        size = self._pending.pop(payload_id, None)
        self._bytes -= size or 0
        return size is not None

    def snapshot(self, spool_id: str, next_seq: int) -> bytes:
        """What ``write`` is to keep, as of now."""
        return msgspec.json.encode(_State(spool_id, next_seq, self._pending))

    def write(self, snapshot: bytes) -> None:
        """Replace the file in one step. Blocks; any thread, one at a time.

        Raises:
            OSError: The disk refused; the file is as it was.
        """
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".new")
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(snapshot)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)
        sync_directory(self._directory)

    def look_at_others(self) -> None:
        """Count what the other workers of this edge have in their files. Blocks for a moment."""
        files = self._directory.glob(f"*{_SUFFIX}") if self._directory.is_dir() else ()
        self._others = sum(len(self._read(path).pending) for path in files if path != self._path)

    def _read(self, path: Path) -> _State:
        try:
            return msgspec.json.decode(path.read_bytes(), type=_State)
        except (FileNotFoundError, msgspec.DecodeError):
            # It is replaced in one step, so what cannot be read was never finished: the spool says it all.
            return _State("", 0, {})
