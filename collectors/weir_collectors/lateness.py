"""Finding groups that are so far behind that the log may soon lose what they have not read."""

from __future__ import annotations

from typing import Protocol

from structlog.typing import FilteringBoundLogger


class Behind(Protocol):
    """What a group says of itself; ``lag`` in events, None while it is not known; ``lag_s`` in seconds."""

    lag: int | None
    lag_s: float
    late: bool


class LateWatch:
    """Looks at one group now and then. It only tells: more workers, or a sink that is mended, are the remedy.

    Args:
        group: Its counters; ``lag_s`` and ``late`` are set here.
        retention_s: How long the log keeps the group's events; half of it is late. None: it keeps them until
            they are read.
    """

    def __init__(self, group: Behind, *, retention_s: float | None, logger: FilteringBoundLogger) -> None:
        self._group = group
        self._late_after_s = None if retention_s is None else retention_s / 2
        self._logger = logger

    def watch(self, lag_s: float) -> None:
        """Take note of how old the oldest event is that the group has not finished, in seconds."""
        group = self._group
        group.lag_s = lag_s
        late = self._late_after_s is not None and lag_s > self._late_after_s
        if late and not group.late:
            self._logger.error(
                "group late",
                lag=group.lag,
                lag_s=round(lag_s),
                late_after_s=self._late_after_s,
                advice="add collector workers, see the breakers, or lengthen the topic's retention",
            )
        elif group.late and not late:
            self._logger.warning("group in time again", lag=group.lag)
        group.late = late
