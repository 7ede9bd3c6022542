"""Counters of totals that somebody else keeps."""

from __future__ import annotations

from prometheus_client import Counter


class Growing:
    """A counter that follows totals kept elsewhere, which start at zero with this process."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._shown: dict[tuple[str, ...], int] = {}

    def to(self, total: int, *labels: str) -> None:
        """Add what the total has grown since the last call with these labels."""
        counter = self._counter.labels(*labels) if labels else self._counter
        counter.inc(total - self._shown.get(labels, 0))
        self._shown[labels] = total
