"""Reading a stretch of a spool again, beside its writer and its consumers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Final

from weir_streams.errors import LogUnavailableError, SpoolFormatError
from weir_streams.log import LogRecord, Partition
from weir_streams.reader import SpoolReader
from weir_streams.segment import Record

_PIECE_BYTES: Final = 256 * 1024
_PATIENCE_S: Final = 0.1


class SpoolRanges:
    """The ``RangeReader`` of the embedded log.

    Args:
        root: The data directory.
        monotonic: Seconds; measures how long something has been unreadable.
    """

    def __init__(self, root: Path, monotonic: Callable[[], float]) -> None:
        self._root = root
        self._monotonic = monotonic

    async def read_range(
        self, partition: Partition, first: int, last: int
    ) -> AsyncGenerator[Sequence[LogRecord], None]:
        """See ``RangeReader.read_range``. Files are read on a thread."""
        reader = SpoolReader(
            self._root / "spool" / partition.name,
            first,
            # The group that read it first has reported it.
            report=lambda _damage: None,
            monotonic=self._monotonic,
            patience_s=_PATIENCE_S,
        )
        try:
            async for batch in _read(reader, last):
                wanted = [
                    LogRecord(partition, offset, event.key, event.value)
                    for record in batch
                    for offset, event in enumerate(record.events, record.seq)
                    if event.topic == partition.topic and first <= offset <= last
                ]
                if wanted:
                    yield wanted
        except (OSError, SpoolFormatError) as error:
            raise LogUnavailableError(f"the spool cannot be read: {error}") from error
        finally:
            reader.close()


async def _read(reader: SpoolReader, last: int) -> AsyncIterator[Sequence[Record]]:
    waited = False
    while reader.next_seq <= last:
        records = await asyncio.to_thread(reader.read, _PIECE_BYTES)
        if records:
            yield records
        if not reader.at_end:
            waited = False
        elif waited:
            return
        else:
            # An unreadable place may be a write in progress; the reader goes on behind it after a while.
            waited = True
            await asyncio.sleep(2 * _PATIENCE_S)
