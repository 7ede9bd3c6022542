"""A histogram that is cheap to observe: what it is told waits in memory, and is written now and then."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter

from prometheus_client import Histogram


class TalliedHistogram(Histogram):
    """A ``Histogram`` whose counts move with ``flush``.

    Where several processes are counted together each observation is two writes into a mapped file, which is
    as much work as a call's durable record. Here these writes are shared by all observations since the last
    ``flush``. Not for more than one thread.
    """

    _waiting: list[float]

    def tally(self, amount: float) -> None:
        """Observe an amount, in the histogram's unit, with the next ``flush``."""
        self._waiting.append(amount)

    def flush(self) -> None:
        """Count what has waited.

        Raises:
            OSError, ValueError: The files of the counts cannot be written.
        """
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._sum.inc(sum(waiting))
            for bucket, count in Counter(bisect_left(self._upper_bounds, one) for one in waiting).items():
                self._buckets[bucket].inc(count)

    def _metric_init(self) -> None:
        super()._metric_init()
        self._waiting = []
