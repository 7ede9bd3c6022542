"""Finding groups that have work and do not get on with it."""

from __future__ import annotations

from collections.abc import Callable

from structlog.typing import FilteringBoundLogger

from weir_collectors.counters import GroupCounters


class StallWatch:
    """Looks at one group now and then. It only tells: whatever holds the group up may end by itself.

    Args:
        group: Its counters; ``stuck`` and ``stalls`` are set here.
        after_s: Seconds without a commit, while there is something to commit, after which it is stuck.
        monotonic: Seconds.
    """

    def __init__(
        self,
        group: GroupCounters,
        *,
        after_s: float,
        monotonic: Callable[[], float],
        logger: FilteringBoundLogger,
    ) -> None:
        self._group = group
        self._after_s = after_s
        self._monotonic = monotonic
        self._logger = logger
        self._commits = group.commits
        self._since = monotonic()

    def watch(self, lag: int) -> None:
        """Look at the lag, in records, and at what was committed since the last look."""
        group = self._group
        if lag == 0 or group.commits != self._commits:
            if group.stuck:
                self._logger.warning("group goes on", lag=lag)
            group.stuck = False
            self._commits, self._since = group.commits, self._monotonic()
        elif not group.stuck and self._monotonic() - self._since >= self._after_s:
            group.stuck = True
            group.stalls += 1
            self._logger.error(
                "group stuck", lag=lag, seconds=self._after_s, last_error=group.last_error or "none"
            )
