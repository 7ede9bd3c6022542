"""The verdict about one event: does the database still need a copy?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Decision:
    """What one collector made of one event, in the end.

    ``error`` is why it gave the event up after ``tries`` calls, ``retryable`` whether more of them could have
    helped; None when it succeeded. ``skipped`` says that the event was let past because the collector's sink
    is away or the collector is too far behind: a range of dead letters has it, not a letter of its own.
    ``unquoted`` is the error without a word of the collector's, which may quote the event; None where it has
    none.
    """

    collector: str
    handled: bool = False
    tries: int = 1
    error: str | None = None
    retryable: bool = True
    skipped: bool = False
    unquoted: str | None = field(default=None, compare=False)

    @property
    def succeeded(self) -> bool:
        return self.error is None


def must_store(decisions: Sequence[Decision]) -> bool:
    """Whether the event goes to the database.

    One success that says handled keeps it out, whatever the other collectors did. A failure never handles
    an event, whatever the collector claimed, and without any collector nobody handles it.
    """
    return not any(decision.succeeded and decision.handled for decision in decisions)
