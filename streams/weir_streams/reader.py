"""Reading a spool directory in order, while its owner writes or long after it died.

The rule that makes this safe beside a writer in another process: bytes that are no record yet are waited for,
and only called damaged when an intact record or a later segment stands behind them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from weir_streams.pieces import Pieces
from weir_streams.reports import Damage
from weir_streams.segment import Record, base_of
from weir_streams.segment_reader import SegmentReader, Stop

_LOOK_FOR_NEXT_S: Final = 0.02


def segment_bases(directory: Path) -> list[int]:
    """The first sequence numbers of a directory's segments, ascending; empty when it is gone."""
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return []
    return sorted(base for base in map(base_of, names) if base is not None)


class SpoolReader:
    """Every family of a spool from a sequence number on, segment after segment.

    ``next_seq`` is how far it has read; ``at_end`` says whether the last read found nothing more for now.

    Args:
        directory: The spool's directory.
        from_seq: The first sequence number wanted; families that end before it are passed over.
        report: Called for every stretch that had to be skipped.
        monotonic: Seconds; measures how long something has been unreadable.
        patience_s: How long an unreadable place may still be a write in progress. 0 when nobody writes.
        pieces: What other readers on this thread have read.
    """

    def __init__(
        self,
        directory: Path,
        from_seq: int,
        *,
        report: Callable[[Damage], None],
        monotonic: Callable[[], float],
        patience_s: float = 0.1,
        pieces: Pieces | None = None,
    ) -> None:
        self.directory = directory
        self.next_seq = from_seq
        self.at_end = False
        self._from_seq = from_seq
        self._report = report
        self._monotonic = monotonic
        self._patience_s = patience_s
        self._pieces = pieces
        self._segment: SegmentReader | None = None
        self._look_at: float | None = None

    def read(self, most_bytes: int, *, skim: bool = False) -> list[Record]:
        """The next families out of about ``most_bytes``; may be empty before the end (see ``at_end``).

        Blocks for one read of that size; finding the way behind a damaged place reads the whole segment.

        Args:
            most_bytes: The size of a read.
            skim: Of calls, only the events' topics are wanted.

        Raises:
            OSError: The disk refused.
            SpoolFormatError: A segment was written by a newer release.
        """
        segment = self._segment or self._enter(after=None)
        self.at_end = segment is None
        if segment is None:
            return []
        records, stop = segment.read(most_bytes, self._on_gap, skim=skim)
        self.next_seq = max(self.next_seq, segment.next_seq)
        if stop is Stop.MORE:
            self._look_at = None
        elif not records:
            self.at_end = not self._go_on(segment, stop)
        return [record for record in records if record.next_seq > self._from_seq]

    def fork(self) -> SpoolReader:
        """Another reader at the same place, which reports nothing."""
        other = SpoolReader(
            self.directory,
            self._from_seq,
            report=lambda _damage: None,
            monotonic=self._monotonic,
            patience_s=self._patience_s,
        )
        other.next_seq = self.next_seq
        if self._segment is not None:
            other._segment = self._segment.fork()
        return other

    def close(self) -> None:
        """Close the open segment."""
        if self._segment is not None:
            self._segment.close()
            self._segment = None

    def _go_on(self, segment: SegmentReader, stop: Stop) -> bool:
        """Pass the end or the damage at which the segment stopped; False means wait."""
        if stop is Stop.SEALED:
            return self._enter_next(segment)
        if not self._patience_is_over():
            return False
        later = self._base_after(segment.base_seq)
        if stop is Stop.BLANK and later is None:
            return False
        # It may have been completed between the read that failed and the look at the directory.
        if segment.has_record():
            return True
        return self._skip(segment, stop, later)

    def _skip(self, segment: SegmentReader, stop: Stop, later: int | None) -> bool:
        found = segment.find_next()
        if found is not None:
            position, record = found
            self._damaged(segment, segment.position, position, record.seq, "checksums do not match")
            segment.position = position
            return True
        if later is None:
            return False
        if stop is Stop.UNREADABLE or later > segment.next_seq:
            self._damaged(segment, segment.position, segment.size, later, "the segment ends without its seal")
        return self._enter(after=segment.base_seq) is not None

    def _enter_next(self, segment: SegmentReader) -> bool:
        """Look behind a sealed segment, at once and then now and then: most stay the last for hours."""
        now = self._monotonic()
        if self._look_at is not None and now < self._look_at:
            return False
        self._look_at = now + min(self._patience_s, _LOOK_FOR_NEXT_S)
        return self._enter(after=segment.base_seq) is not None

    def _patience_is_over(self) -> bool:
        now = self._monotonic()
        if self._look_at is None:
            self._look_at = now + self._patience_s
        if now < self._look_at:
            return False
        self._look_at = now + self._patience_s
        return True

    def _enter(self, after: int | None) -> SegmentReader | None:
        """Open the segment behind ``after``, or the one that holds the first number wanted."""
        base = self._first_base() if after is None else self._base_after(after)
        if base is None:
            return None
        try:
            entered = SegmentReader(self.directory, base, self._pieces)
        except FileNotFoundError:
            # Retention took it between the look at the directory and now; the next read looks again.
            return None
        self.close()
        self._segment = entered
        self._look_at = None
        self.next_seq = max(self.next_seq, base)
        return entered

    def _first_base(self) -> int | None:
        bases = segment_bases(self.directory)
        before = [base for base in bases if base <= self._from_seq]
        return before[-1] if before else next(iter(bases), None)

    def _base_after(self, base_seq: int) -> int | None:
        return next((base for base in segment_bases(self.directory) if base > base_seq), None)

    def _on_gap(self, at: int, gap: Record) -> None:
        if self._segment is not None:
            self._damaged(self._segment, at, at + gap.size, gap.seq, "lost before a recovery")

    def _damaged(self, segment: SegmentReader, start: int, end: int, resumed_at: int, reason: str) -> None:
        self._report(
            Damage(
                spool_id=self.directory.name,
                segment=segment.path.name,
                offset=start,
                length=end - start,
                first_missing=segment.next_seq,
                resumed_at=resumed_at,
                reason=reason,
            )
        )
