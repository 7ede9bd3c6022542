"""What a collector process has done since it started, for status reports and metrics."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from weir_collectors.handled import Decision
from weir_collectors.kinds import EventKind


@dataclass(slots=True)
class CollectorCounters:
    """One collector over all kinds of event, in events.

    ``handled`` and ``passed`` are its successes, ``failed`` what it gave up on one by one, ``skipped`` what
    was let past in a range; ``stored`` are those of them all that went to the database. ``redriven`` are dead
    letters that it took in the end.
    """

    handled: int = 0
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    stored: int = 0
    redriven: int = 0
    last_error: str | None = None
    last_error_unquoted: str | None = None
    """The same without a word of the collector's; None where it has none."""


@dataclass(slots=True)
class GroupCounters:
    """One group. ``lag`` counts records not yet committed, over all partitions; None before the first count.

    ``overruns`` is how often an observer was moved to the end of the log. While it is ``stuck`` it has
    lag and gets on with nothing; ``stalls`` is how often that was found. ``age_s`` is how old its last event
    was when it was kept, in seconds since the event's own timestamp; ``lag_s`` how old the oldest event is
    that it has in hand and has not finished, and ``late`` says that the log may soon lose it.
    """

    decided: int = 0
    stored: int = 0
    undecodable: int = 0
    restarts: int = 0
    overruns: int = 0
    lag: int | None = None
    commits: int = 0
    stuck: bool = False
    stalls: int = 0
    age_s: float | None = None
    lag_s: float = 0.0
    late: bool = False
    last_error: str | None = None
    """Why the group last could not go on: the log, the database. None again when it goes on."""

    def forget_lag(self) -> None:
        """The group is gone: nothing waits for it."""
        self.lag, self.lag_s, self.late = 0, 0.0, False


def total_lag(lags: Iterable[int | None]) -> int | None:
    """The sum of several lags; None where there is none, and where one of them is not known."""
    total: int | None = None
    for lag in lags:
        if lag is None:
            return None
        total = lag if total is None else total + lag
    return total


@dataclass(slots=True)
class Counters:
    """All counters of one process. Counts start at zero with it and repeat what is delivered again.

    ``observing`` is by slug and kind.
    """

    collectors: dict[str, CollectorCounters] = field(default_factory=lambda: defaultdict(CollectorCounters))
    deciding: dict[EventKind, GroupCounters] = field(
        default_factory=lambda: {kind: GroupCounters() for kind in EventKind}
    )
    observing: dict[tuple[str, EventKind], GroupCounters] = field(
        default_factory=lambda: defaultdict(GroupCounters)
    )

    def count(self, group: GroupCounters, decisions: Sequence[Decision], *, stored: bool) -> None:
        """Count one decided event, for its group and for each of its collectors."""
        group.decided += 1
        group.stored += stored
        for decision in decisions:
            counters = self.collectors[decision.collector]
            counters.stored += stored
            counters.skipped += decision.skipped
            if decision.error is not None:
                counters.failed += not decision.skipped
                counters.last_error = decision.error
                counters.last_error_unquoted = decision.unquoted
            elif decision.handled:
                counters.handled += 1
            else:
                counters.passed += 1
