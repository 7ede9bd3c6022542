"""A spool full of events, for benchmarks of what reads it."""

from __future__ import annotations

import random
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import structlog

from weir_core.clock import SystemClock, rfc3339
from weir_streams.admission import Admission, EventIds
from weir_streams.embedded import EmbeddedLog
from weir_streams.events import EVENT_TOPICS, Analytics, BudgetUsage, Event, Latency, ProxyLog
from weir_streams.log import LogRecord
from weir_streams.settings import SpoolSettings
from weir_streams.spool import Spool

_APPS: Final = 50
_BODY_WORDS: Final = 250
_AT_ONCE: Final = 4096


def fill_spool(root: Path, requests: int) -> None:
    """Write the events of so many calls into a spool of a data directory: three for each, bodies included."""
    words = random.Random(1)
    spool = open_spool(root)
    for number in range(requests):
        admission = new_admission()
        slot = spool.admit(admission)
        spool.append(slot, family(admission, slot.event_ids, number % _APPS, words))
    spool.close()


def open_spool(root: Path) -> Spool:
    """A spool of a data directory, with the defaults."""
    return Spool.open(
        root, settings=SpoolSettings(), clock=SystemClock(), logger=structlog.get_logger("weir.spool")
    )


def new_admission() -> Admission:
    """What a proxy knows of a call when it lets it in."""
    return Admission(
        request_id=uuid.uuid4().hex,
        started_us=SystemClock().wall_us(),
        llm_id=1,
        llm_slug="gpt",
        vendor="openai",
        method="POST",
        path="/v1/chat/completions",
    )


async def read_spool(root: Path) -> Mapping[str, Sequence[LogRecord]]:
    """All records of a data directory, by topic."""
    log = EmbeddedLog(root, clock=SystemClock(), logger=structlog.get_logger("weir.bench"))
    found: dict[str, list[LogRecord]] = {topic: [] for topic in EVENT_TOPICS}
    consumer = await log.consumer("bench.read", EVENT_TOPICS)
    while records := await consumer.poll(_AT_ONCE, 0.5):
        for record in records:
            found[record.partition.topic].append(record)
    await consumer.close()
    await log.close()
    return found


def family(admission: Admission, ids: EventIds, app_id: int, words: random.Random) -> list[Event]:
    """The events of a call that was served."""
    identity: dict[str, Any] = {
        "request_id": admission.request_id,
        "timestamp": rfc3339(admission.started_us),
        "app_id": app_id,
        "llm_id": 1,
        "llm_slug": "gpt",
        "vendor": "openai",
    }
    log = ProxyLog(
        **identity,
        event_id=ids.proxy_log,
        method="POST",
        path=admission.path,
        response_code=200,
        outcome="served",
        latency_ms=Latency(total=812.5, upstream=800.1),
        request_body=_prose(words),
        response_body=_prose(words),
    )
    analytics = Analytics(**identity, event_id=ids.analytics, prompt_tokens=310, response_tokens=290)
    budget = BudgetUsage(**identity, event_id=ids.budget_usage, tokens_used=600, cost="0.004")
    return [log, analytics, budget]


def _prose(words: random.Random) -> str:
    """About 1.5 KB that compresses as text does."""
    return " ".join(format(words.randrange(4096), "x") * 2 for _ in range(_BODY_WORDS))
