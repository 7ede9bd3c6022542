"""Finding a consumer that has work and does not get on with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from weir_streams.log import Bounds, Partition


def lag(ends: Mapping[Partition, Bounds], places: Mapping[Partition, int]) -> int:
    """How many events are there to be read."""
    return sum(
        max(0, bounds.end - max(bounds.first, places.get(partition, 0))) for partition, bounds in ends.items()
    )


def shorter(ends: Mapping[Partition, Bounds], places: Mapping[Partition, int]) -> list[Partition]:
    """Partitions that end before what was read of them."""
    return [partition for partition, bounds in ends.items() if bounds.end < places.get(partition, 0)]


class StallWatch:
    """Told of lag and progress now and then.

    Args:
        after_s: Seconds without progress, while there is lag, that make a stall.
        monotonic: Seconds.
    """

    def __init__(self, after_s: float, monotonic: Callable[[], float]) -> None:
        self._after_s = after_s
        self._monotonic = monotonic
        self._progress = -1
        self._since = monotonic()

    def stalled(self, lag: int | None, progress: int) -> bool:
        """Whether it has stood still for too long. A lag that is not known says nothing, and starts anew.

        Args:
            lag: Events to be read; None when the log does not answer.
            progress: Any number that moves with every event that was read.
        """
        now = self._monotonic()
        if not lag or progress != self._progress:
            self._progress, self._since = progress, now
        return now - self._since >= self._after_s
