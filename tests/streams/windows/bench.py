"""Analytics events as they stand on the log, and a store to add them to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from weir_core.clock import rfc3339
from weir_streams.billed import Batch, Billed
from weir_streams.events import ANALYTICS_TOPIC
from weir_streams.log import LogRecord, Partition
from weir_streams.windows.store import Added, WindowStore

LENGTH_S = 60
NOON_S = 1_790_000_040 // LENGTH_S * LENGTH_S
PARTITION = Partition(ANALYTICS_TOPIC, "0")


class HeldClock:
    """Stands where it is put."""

    def __init__(self, wall_s: float = NOON_S) -> None:
        self.wall_s = wall_s
        self.since_start_s = 0.0

    def wall_us(self) -> int:
        return round(self.wall_s * 1_000_000)

    def monotonic(self) -> float:
        return self.since_start_s


def record(offset: int, at_s: float = NOON_S, partition: Partition = PARTITION, **fields: Any) -> LogRecord:
    """One event of app 7 on LLM 3 for a tenth of a cent."""
    event = {
        "event_id": f"event-{partition.name}-{offset}",
        "spool_id": "0123456789ab",
        "spool_seq": offset + 1,
        "request_id": f"request-{offset}",
        "timestamp": rfc3339(round(at_s * 1_000_000)),
        "app_id": 7,
        "llm_id": 3,
        "model_name": "gpt",
        "outcome": "served",
        "prompt_tokens": 10,
        "response_tokens": 5,
        "total_tokens": 15,
        "usage_source": "provider",
        "cost": "0.001",
        "attempts": [{"llm_id": 3, "status": 200, "latency_ms": 12.5}],
    }
    return LogRecord(partition, offset, b"7", msgspec.json.encode(event | fields))


def billed(at_s: float = NOON_S, **fields: Any) -> Billed:
    """The same event, read."""
    batch = Batch({})
    batch.take(record(0, at_s, **fields))
    return batch.events[0]


def new_store(directory: Path, length_s: int = LENGTH_S) -> WindowStore:
    """An open one."""
    return WindowStore.open(directory / "windows.db", length_s)


def add(store: WindowStore, *records: LogRecord, horizon_s: int = 0, complete_from_s: int = 0) -> Added:
    """Add records as one batch, with the marks that the store knows."""
    batch = Batch(store.place().marks)
    for one in records:
        batch.take(one)
    return store.add(batch, horizon_s=horizon_s, complete_from_s=complete_from_s)
