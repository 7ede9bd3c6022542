"""What the tests of the event path share: a clock to hold, a logger to look at, families to write."""

from __future__ import annotations

import itertools
import resource
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from weir_core.clock import SystemClock, rfc3339
from weir_streams.admission import Admission, EventIds
from weir_streams.calls import CallRecord
from weir_streams.events import Analytics, BudgetUsage, EncodedEvent, Event, Latency, ProxyLog
from weir_streams.families import encode_family
from weir_streams.home import spool_directories
from weir_streams.inflight import Slot
from weir_streams.reader import SpoolReader
from weir_streams.reports import Damage
from weir_streams.segment import Record
from weir_streams.settings import KIB, SpoolSettings
from weir_streams.spool import Spool
from weir_streams.stored_calls import StoredEvent

STARTED_US = 1_790_000_000_000_000
SMALL = SpoolSettings(segment_bytes=128 * KIB, slots=64, slot_reserve_bytes=16 * KIB, sync_interval_s=0.01)
SPOOL_ID = "0123456789ab"


class ManualClock:
    """Time that moves only when a test says so."""

    def __init__(self) -> None:
        self.wall = STARTED_US
        self.seconds = 1000.0

    def wall_us(self) -> int:
        return self.wall

    def monotonic(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.seconds += seconds
        self.wall += int(seconds * 1_000_000)


class RecordingLogger:
    """Keeps what it is told, as (event, fields)."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, dict[str, Any]]] = []

    def info(self, event: str, **fields: object) -> None:
        self.entries.append((event, fields))

    warning = error = info

    def named(self, event: str) -> list[dict[str, Any]]:
        return [fields for name, fields in self.entries if name == event]


def open_spool(root: Path, settings: SpoolSettings = SMALL, logger: RecordingLogger | None = None) -> Spool:
    return Spool.open(root, settings=settings, clock=SystemClock(), logger=logger or RecordingLogger())


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Make this process's disk refuse whatever would stand beyond ``size`` bytes of a file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def admission(number: int = 1, **changes: Any) -> Admission:
    values: dict[str, Any] = {
        "request_id": f"request-{number}",
        "started_us": STARTED_US,
        "llm_id": 3,
        "llm_slug": "gpt",
        "vendor": "openai",
        "method": "POST",
        "path": "/v1/chat/completions",
    }
    return Admission(**(values | changes))


def event_ids(number: int = 1) -> EventIds:
    return EventIds(f"log-{number}", f"analytics-{number}", f"budget-{number}")


def family(number: int = 1, ids: EventIds | None = None, **changes: Any) -> list[Event]:
    """A served call's three events; ``changes`` go to the proxy log."""
    ids = ids or event_ids(number)
    identity: dict[str, Any] = {
        "request_id": f"request-{number}",
        "timestamp": rfc3339(STARTED_US),
        "app_id": 7,
        "llm_id": 3,
        "llm_slug": "gpt",
        "vendor": "openai",
    }
    log: dict[str, Any] = {
        "method": "POST",
        "path": "/v1/chat/completions",
        "response_code": 200,
        "outcome": "served",
        "latency_ms": Latency(total=1.5),
        "request_body": '{"model":"gpt"}',
        "response_body": '{"choices":[]}',
    }
    return [
        ProxyLog(event_id=ids.proxy_log, **identity, **(log | changes)),
        Analytics(
            event_id=ids.analytics,
            **identity,
            outcome="served",
            prompt_tokens=5,
            total_tokens=5,
            usage_source="provider",
        ),
        BudgetUsage(event_id=ids.budget_usage, **identity, tokens_used=5, cost="0.5"),
    ]


def finished_call(number: int = 1, ids: EventIds | None = None, **changes: Any) -> CallRecord:
    """The same call as a proxy writes it."""
    fields: dict[str, Any] = {
        "event_ids": ids or event_ids(number),
        "started_us": STARTED_US,
        "analysed": True,
        "billed": True,
        "request_id": f"request-{number}",
        "app_id": 7,
        "llm_id": 3,
        "llm_slug": "gpt",
        "vendor": "openai",
        "method": "POST",
        "path": "/v1/chat/completions",
        "response_code": 200,
        "outcome": "served",
        "total_ms": 1.5,
        "request_body": '{"model":"gpt"}',
        "response_body": '{"choices":[]}',
        "prompt_tokens": 5,
        "total_tokens": 5,
        "usage_source": "provider",
        "cost": "0.5",
    }
    return CallRecord(**(fields | changes))


def family_record(number: int, seq: int, **changes: Any) -> bytes:
    return encode_family(family(number, **changes), SPOOL_ID, seq, STARTED_US)


def append(spool: Spool, number: int, **changes: Any) -> int:
    """Admit a request and append what it leaves."""
    slot: Slot = spool.admit(admission(number))
    return spool.append(slot, finished_call(number, slot.event_ids, **changes))


def reader_of(directory: Path, from_seq: int = 0, damages: list[Damage] | None = None) -> SpoolReader:
    """A reader that takes what it cannot read for damaged at once."""
    found: Callable[[Damage], None] = (damages if damages is not None else []).append
    ticks = itertools.count()
    return SpoolReader(directory, from_seq, report=found, monotonic=lambda: float(next(ticks)), patience_s=0)


def read_all(directory: Path, damages: list[Damage] | None = None, from_seq: int = 0) -> list[Record]:
    reader = reader_of(directory, from_seq, damages)
    records: list[Record] = []
    while not reader.at_end:
        records += reader.read(64 * KIB)
    reader.close()
    return records


def values_of(events: Iterable[EncodedEvent | StoredEvent]) -> list[dict[str, Any]]:
    return [msgspec.json.decode(event.value) for event in events]


def all_events(root: Path) -> list[dict[str, Any]]:
    """Every event in every spool of a data directory."""
    return [
        value
        for directory in spool_directories(root)
        for record in read_all(directory)
        for value in values_of(record.events)
    ]


def request_ids(records: Sequence[Record]) -> list[str]:
    """The request of each family."""
    return [values_of(record.events)[0]["request_id"] for record in records]
