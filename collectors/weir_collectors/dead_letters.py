"""A dead letter: an event that a collector gave up on, kept whole for a redrive."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from weir_collectors.decoding import ReadEvent
from weir_collectors.handled import Decision
from weir_collectors.kinds import EventKind
from weir_streams.notices import DeadLetterNotice


class LetterState(StrEnum):
    """Where a dead letter stands."""

    FAILED = "failed"
    """It waits for somebody to ask for a redrive; also after a redrive that failed."""
    REQUESTED = "requested"
    REDRIVEN = "redriven"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A collector, by its slug, gave up on an event after so many ``tries``.

    ``retryable`` says whether the last error could have passed with more tries. ``unquoted`` is the reason
    without a word of the collector's; None where there is none in it.
    """

    event: ReadEvent
    collector: str
    kind: EventKind
    reason: str
    retryable: bool
    tries: int
    failed_at_us: int
    unquoted: str | None = None

    def notice(self) -> DeadLetterNotice:
        """What others hear of it: nothing of the event itself, but why, in the collector's own words."""
        record = self.event.record
        return DeadLetterNotice(
            topic=record.partition.topic,
            partition=record.partition.name,
            offset=record.offset,
            event_id=self.event.event_id,
            request_id=self.event.request_id,
            edge_namespace=self.event.edge_namespace,
            collector=self.collector,
            reason=self.reason,
            tries=self.tries,
        )

    def row(self) -> dict[str, Any]:
        """The columns of its row when it is new."""
        event = self.event
        return {
            "event_id": event.event_id,
            "collector": self.collector,
            "kind": self.kind.value,
            "reason": self.reason,
            "reason_unquoted": self.unquoted,
            "retryable": self.retryable,
            "tries": self.tries,
            "failed_at_us": self.failed_at_us,
            "timestamp_us": event.timestamp_us,
            "request_id": event.request_id,
            "edge_namespace": event.edge_namespace.replace("\x00", "\ufffd"),
            "app_id": event.app_id,
            "llm_id": event.llm_id,
            "user_id": event.user_id,
            "value": event.value,
            "state": LetterState.FAILED.value,
        }


def letters_of(
    kind: EventKind, event: ReadEvent, decisions: Sequence[Decision], now_us: int
) -> Iterator[DeadLetter]:
    """A dead letter for each collector that gave the event up by itself; a range has those it skipped."""
    for decision in decisions:
        if decision.error is not None and not decision.skipped:
            yield DeadLetter(
                event=event,
                collector=decision.collector,
                kind=kind,
                reason=decision.error,
                retryable=decision.retryable,
                tries=decision.tries,
                unquoted=decision.unquoted,
                failed_at_us=now_us,
            )
