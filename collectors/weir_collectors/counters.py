"""What a collector process has done since it started, for status reports and metrics."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from weir_collectors.handled import Decision
from weir_collectors.kinds import EventKind


@dataclass(slots=True)
class CollectorCounters:
    """One collector over all kinds of event, in events.

    ``handled`` and ``passed`` are its successes, ``failed`` what it gave up on; ``stored`` are those of
    them all that went to the database.
    """

    handled: int = 0
    passed: int = 0
    failed: int = 0
    stored: int = 0
    last_error: str | None = None


@dataclass(slots=True)
class KindCounters:
    """One deciding group. ``lag`` counts records not yet committed, over all partitions."""

    decided: int = 0
    stored: int = 0
    undecodable: int = 0
    restarts: int = 0
    lag: int = 0
    last_error: str | None = None
    """Why the group last could not go on: the log, the database. None again when it goes on."""


@dataclass(slots=True)
class Counters:
    """All counters of one process. Counts start at zero with it and repeat what is delivered again."""

    collectors: dict[str, CollectorCounters] = field(default_factory=lambda: defaultdict(CollectorCounters))
    kinds: dict[EventKind, KindCounters] = field(
        default_factory=lambda: {kind: KindCounters() for kind in EventKind}
    )

    def count(self, kind: EventKind, decisions: Sequence[Decision], *, stored: bool) -> None:
        """Count one decided event, for its kind and for each of its collectors."""
        self.kinds[kind].decided += 1
        self.kinds[kind].stored += stored
        for decision in decisions:
            counters = self.collectors[decision.collector]
            counters.stored += stored
            if decision.error is not None:
                counters.failed += 1
                counters.last_error = decision.error
            elif decision.handled:
                counters.handled += 1
            else:
                counters.passed += 1
