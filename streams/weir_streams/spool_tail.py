"""Looking at the embedded log for nobody's group: where it ends, and what comes next."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

from weir_streams.errors import LogUnavailableError, SpoolFormatError
from weir_streams.home import spool_directories
from weir_streams.log import Bounds, LogRecord, Partition
from weir_streams.reader import SpoolReader, segment_bases

_PIECE_BYTES: Final = 256 * 1024
_LOOK_EVERY_S: Final = 0.2


class SpoolTail:
    """The ``LogTail`` of the embedded log.

    Args:
        root: The data directory.
        monotonic: Seconds; measures how long something has been unreadable.
    """

    def __init__(self, root: Path, monotonic: Callable[[], float]) -> None:
        self._root = root
        self._monotonic = monotonic

    async def bounds(self, topics: Collection[str], from_us: int) -> Mapping[Partition, Bounds]:
        """See ``LogTail.bounds``. A spool is read from its oldest record, whatever the moment."""
        found = await asyncio.to_thread(self._bounds)
        return {Partition(topic, name): bounds for name, bounds in found.items() for topic in topics}

    async def follow(
        self, topics: Collection[str], *, from_start: bool
    ) -> AsyncGenerator[Sequence[LogRecord], None]:
        """See ``LogTail.follow``. Files are read on a thread."""
        ends = {} if from_start else await asyncio.to_thread(self._bounds)
        readers: dict[Path, SpoolReader] = {}
        try:
            while True:
                for directory in spool_directories(self._root):
                    if directory not in readers:
                        end = ends.get(directory.name)
                        readers[directory] = self._reader(directory, 0 if end is None else end.end)
                records = await asyncio.to_thread(_read, list(readers.values()), frozenset(topics))
                if records:
                    yield records
                else:
                    await asyncio.sleep(_LOOK_EVERY_S)
        finally:
            for reader in readers.values():
                reader.close()

    def _bounds(self) -> dict[str, Bounds]:
        found = {}
        for directory in spool_directories(self._root):
            bases = segment_bases(directory)
            if not bases:
                continue
            reader = self._reader(directory, bases[-1])
            try:
                while not reader.at_end:
                    _read([reader], frozenset())
            finally:
                reader.close()
            if reader.next_seq > bases[0]:
                found[directory.name] = Bounds(bases[0], reader.next_seq)
        return found

    def _reader(self, directory: Path, start: int) -> SpoolReader:
        # What is damaged is reported by the groups.
        return SpoolReader(directory, start, report=lambda _damage: None, monotonic=self._monotonic)


def _read(readers: Sequence[SpoolReader], topics: frozenset[str]) -> list[LogRecord]:
    try:
        return [
            LogRecord(Partition(event.topic, reader.directory.name), offset, event.key, event.value)
            for reader in readers
            for record in reader.read(_PIECE_BYTES)
            for offset, event in enumerate(record.events, record.seq)
            if event.topic in topics
        ]
    except (OSError, SpoolFormatError) as error:
        raise LogUnavailableError(f"the spool cannot be read: {error}") from error
