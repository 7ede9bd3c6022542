"""One consumer's place in one spool: what it was given, what it has committed, what is still ahead."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from typing import Final

from weir_streams.log import LogRecord, Partition
from weir_streams.reader import SpoolReader
from weir_streams.segment import Record

_COUNT_PIECE_BYTES: Final = 1024 * 1024


class _Lane:
    """One partition's offsets: those handed out and not committed, and the end of the committed ones."""

    __slots__ = ("committed", "partition", "start", "stored", "unfinished")

    def __init__(self, partition: Partition, start: int, stored: int) -> None:
        self.partition = partition
        self.start = start
        self.committed = start
        self.stored = stored
        self.unfinished: deque[int] = deque()


class SpoolCursor:
    """Reads a spool for one consumer. Not for two threads, but for ``count_ahead``.

    Args:
        spool_id: The spool; with a topic it names a partition.
        start: Per topic, the next offset to read; all before it is finished.
        stored: Per topic, what is durable of that.
        reader: Reads the spool from the lowest start on.
    """

    def __init__(
        self, spool_id: str, start: Mapping[str, int], stored: Mapping[str, int], reader: SpoolReader
    ) -> None:
        self._lanes = {
            topic: _Lane(Partition(topic, spool_id), offset, stored[topic]) for topic, offset in start.items()
        }
        self._reader = reader
        self._ready: deque[LogRecord] = deque()
        self._read: Counter[str] = Counter()
        self._scout: SpoolReader | None = None
        self._counted: Counter[str] = Counter()

    @property
    def at_end(self) -> bool:
        """Whether nothing more could be read just now."""
        return self._reader.at_end and not self._ready

    @property
    def is_done(self) -> bool:
        """Whether everything that could be read was handed out and committed."""
        return self.at_end and not any(lane.unfinished for lane in self._lanes.values())

    def take(self, most_records: int, most_bytes: int) -> list[LogRecord]:
        """The next records, at most so many, out of one read of about ``most_bytes``.

        Raises:
            OSError: The disk refused.
            SpoolFormatError: A segment was written by a newer release.
        """
        if not self._ready:
            for record in self._reader.read(most_bytes):
                self._sort_in(record)
        taken = [self._ready.popleft() for _ in range(min(most_records, len(self._ready)))]
        for item in taken:
            self._lanes[item.partition.topic].unfinished.append(item.offset)
        return taken

    def commit(self, topic: str, offset: int) -> None:
        """Take note that everything before ``offset`` is finished."""
        lane = self._lanes[topic]
        lane.committed = max(lane.committed, offset)
        while lane.unfinished and lane.unfinished[0] < offset:
            lane.unfinished.popleft()

    def to_store(self) -> dict[Partition, int]:
        """The offsets that moved since they were last stored.

        Where nothing is unfinished an offset moves on over the records of other topics, so that a topic
        without records never holds a segment back.
        """
        moved = {}
        for topic, lane in self._lanes.items():
            offset = max(lane.committed, self._reached(topic, lane))
            if offset > lane.stored:
                moved[lane.partition] = offset
        return moved

    def stored(self, offsets: Mapping[Partition, int]) -> None:
        """Take note of what is durable."""
        for partition, offset in offsets.items():
            self._lanes[partition.topic].stored = offset

    def start_counting(self) -> SpoolReader:
        """The reader that counts ahead; it starts where this cursor stands unless it is ahead already."""
        # Also where both stand at the same place: whatever the two made of a damage, they agree again.
        if self._scout is None or self._scout.next_seq <= self._reader.next_seq:
            if self._scout is not None:
                self._scout.close()
            self._scout = self._reader.fork()
            self._counted = self._read.copy()
        return self._scout

    def count_ahead(self, scout: SpoolReader) -> None:
        """Count what is there and not read yet. Blocks for as long as that takes; any thread."""
        while True:
            for record in scout.read(_COUNT_PIECE_BYTES, skim=True):
                for offset, event in enumerate(record.events, record.seq):
                    lane = self._lanes.get(event.topic)
                    if lane is not None and offset >= lane.start:
                        self._counted[event.topic] += 1
            if scout.at_end:
                return

    def lag(self) -> dict[Partition, int]:
        """Records that are not committed, by partition, as of the last count."""
        ready = Counter(item.partition.topic for item in self._ready)
        return {
            lane.partition: len(lane.unfinished)
            + ready[topic]
            + max(0, self._counted[topic] - self._read[topic])
            for topic, lane in self._lanes.items()
        }

    def close(self) -> None:
        """Close the files."""
        self._reader.close()
        if self._scout is not None:
            self._scout.close()

    def _sort_in(self, record: Record) -> None:
        for offset, event in enumerate(record.events, record.seq):
            lane = self._lanes.get(event.topic)
            if lane is not None and offset >= lane.start:
                self._read[event.topic] += 1
                self._ready.append(LogRecord(lane.partition, offset, event.key, event.value))

    def _reached(self, topic: str, lane: _Lane) -> int:
        if lane.unfinished:
            return lane.unfinished[0]
        ready = (item.offset for item in self._ready if item.partition.topic == topic)
        return next(ready, self._reader.next_seq)
