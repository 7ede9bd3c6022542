"""What one consumer of a log has read, for the others that read the same spools beside it.

The groups of a process stand near each other in a spool, and reading is most of what an event costs them:
whoever comes first reads, and the rest finds the records here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from weir_streams.segment import Record


class Piece(NamedTuple):
    """Intact records in a row, and the place and the lowest sequence number behind them."""

    records: Sequence[Record]
    end: int
    next_seq: int


class Pieces:
    """The latest pieces, by segment and place. Belongs to one event loop.

    A record that is intact is never written again, so a piece can be forgotten but not become wrong.

    Args:
        most_bytes: How much of the segments is remembered.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._pieces: OrderedDict[tuple[Path, int], Piece] = OrderedDict()

    def get(self, segment: Path, start: int) -> Piece | None:
        """What was read from this place on, if it is still remembered."""
        return self._pieces.get((segment, start))

    def put(self, segment: Path, start: int, piece: Piece) -> None:
        """Remember a piece, and forget the oldest where there are too many."""
        if (segment, start) in self._pieces:
            return
        self._pieces[segment, start] = piece
        self._bytes += piece.end - start
        while self._bytes > self._most_bytes:
            (_, first), oldest = self._pieces.popitem(last=False)
            self._bytes -= oldest.end - first
