"""Reading the events that money and tokens are added up from, and knowing which were added before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Final, NamedTuple

import msgspec

from weir_core.clock import parse_rfc3339
from weir_core.money import to_nano
from weir_streams.admission import cut
from weir_streams.events import ANALYTICS_TOPIC, BUDGET_USAGE_TOPIC
from weir_streams.log import LogRecord, Partition

# One event may not bring a sum near 64 bits, where SQLite would go on with a rounded number.
_MOST_NANO: Final = 10**15
_Count = Annotated[int, msgspec.Meta(ge=-(2**40), le=2**40)]
_Number = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_SpoolId = Annotated[str, msgspec.Meta(pattern=r"\A[\x21-\x7e]{0,128}\Z")]

_FAILED_STATUS: Final = 400

# Bytes. With them the longest key of a sum stays below what a Postgres index row may hold.
LONGEST_NAME: Final = 512
LONGEST_CURRENCY: Final = 16


class _Attempt(msgspec.Struct, frozen=True, gc=False):
    status: int | None = None
    error: str | None = None
    latency_ms: float = 0.0


class _Billed(msgspec.Struct, frozen=True):
    timestamp: str
    event_id: str = ""
    spool_id: _SpoolId = ""
    spool_seq: _Number = 0
    edge_namespace: str = ""
    app_id: _Number | None = None
    user_id: str | None = None
    llm_id: _Number | None = None
    prompt_tokens: _Count = 0
    response_tokens: _Count = 0
    cost: str | None = None
    currency: str = "USD"
    corrects: str | None = None
    """The event that this one corrects. Its numbers are what to add to that one's, below zero included."""


class BilledUsage(_Billed, frozen=True):
    """An analytics event, as far as it is added up."""

    vendor: str | None = None
    model_name: str | None = None
    outcome: str | None = None
    cache_read_tokens: _Count = 0
    cache_write_tokens: _Count = 0
    reasoning_tokens: _Count = 0
    total_tokens: _Count = 0
    usage_source: str = "none"
    attempts: tuple[_Attempt, ...] = ()

    @property
    def ended(self) -> str:
        """Its outcome. Events from before they carried one are told by their last attempt."""
        if self.outcome is not None:
            return self.outcome
        last = self.attempts[-1] if self.attempts else _Attempt()
        failed = last.error is not None or (last.status is not None and last.status >= _FAILED_STATUS)
        return "upstream_error" if failed else "served"


class BilledSpend(_Billed, frozen=True):
    """A budget event, as far as it is added up."""

    tokens_used: _Count = 0
    requests_count: _Count = 1
    period_id: str = ""


_DECODERS: Final[Mapping[str, msgspec.json.Decoder[BilledUsage] | msgspec.json.Decoder[BilledSpend]]] = {
    ANALYTICS_TOPIC: msgspec.json.Decoder(BilledUsage),
    BUDGET_USAGE_TOPIC: msgspec.json.Decoder(BilledSpend),
}

BILLED_TOPICS: Final = tuple(_DECODERS)
"""What the accountant reads."""


class Billed(NamedTuple):
    """An event with its moment and its cost in nano-units, None where the price is not known."""

    event: BilledUsage | BilledSpend
    timestamp_us: int
    cost_nano: int | None


class Mark(NamedTuple):
    """Whose numbers only grow: the events of one spool in one partition."""

    partition: Partition
    spool_id: str


class Batch:
    """Records on their way into the sums: each event once, whatever the log repeats.

    Args:
        marks: The highest number that is in the sums already, by spool and partition. Not changed here.
    """

    def __init__(self, marks: Mapping[Mark, int]) -> None:
        self._known = marks
        self.events: list[Billed] = []
        self.marks: dict[Mark, int] = {}
        """Those that move."""
        self.offsets: dict[Partition, int] = {}
        """By partition, the offset behind the last record taken."""
        self.undecodable: Counter[Partition] = Counter()
        self.repeated = 0
        self.size = 0

    def known(self, mark: Mark) -> int | None:
        """The number that the sums held before this batch."""
        return self._known.get(mark)

    def take(self, record: LogRecord) -> None:
        """Take a record on: a new event, a repeated one, or none at all, which is counted and left out."""
        self.size += 1
        self.offsets[record.partition] = record.offset + 1
        try:
            billed = _read(record)
        except (msgspec.MsgspecError, ValueError, ArithmeticError, RecursionError):
            self.undecodable[record.partition] += 1
            return
        event = billed.event
        mark = Mark(record.partition, event.spool_id)
        # An event that was written by no spool has its place in the log alone to be known by.
        number = event.spool_seq if event.spool_id else record.offset
        last = self.marks.get(mark, self._known.get(mark))
        if last is not None and number <= last:
            self.repeated += 1
            return
        self.marks[mark] = number
        self.events.append(billed)


def key_text(text: str | None, most_bytes: int) -> str:
    """A text of an event as part of a sum's key: cut, and empty for none."""
    # Postgres cannot keep a NUL in text.
    return cut(text, most_bytes).replace("\x00", "\ufffd") if text else ""


def _read(record: LogRecord) -> Billed:
    event = _DECODERS[record.partition.topic].decode(record.value)
    cost = None if event.cost is None else to_nano(Decimal(event.cost))
    if cost is not None and abs(cost) > _MOST_NANO:
        raise ValueError(f"a cost of {event.cost} is out of bounds")
    return Billed(event, parse_rfc3339(event.timestamp), cost)
