"""A spool full of events, for benchmarks of what reads it."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import structlog

from weir_core.clock import SystemClock
from weir_core.ids import new_id
from weir_streams.admission import Admission, EventIds
from weir_streams.calls import CallRecord
from weir_streams.embedded import EmbeddedLog
from weir_streams.events import EVENT_TOPICS
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
        spool.append(slot, finished_call(admission, slot.event_ids, number % _APPS, words))
    spool.close()


def open_spool(root: Path) -> Spool:
    """A spool of a data directory, with the defaults."""
    return Spool.open(
        root, settings=SpoolSettings(), clock=SystemClock(), logger=structlog.get_logger("weir.spool")
    )


def new_admission() -> Admission:
    """What a proxy knows of a call when it lets it in."""
    return Admission(
        request_id=new_id(),
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


def finished_call(admission: Admission, ids: EventIds, app_id: int, words: random.Random) -> CallRecord:
    """A call that was served, and leaves three events."""
    return CallRecord(
        event_ids=ids,
        started_us=admission.started_us,
        analysed=True,
        billed=True,
        request_id=admission.request_id,
        app_id=app_id,
        llm_id=admission.llm_id,
        llm_slug=admission.llm_slug,
        vendor=admission.vendor,
        method=admission.method,
        path=admission.path,
        response_code=200,
        outcome="served",
        total_ms=812.5,
        upstream_ms=800.1,
        request_body=_prose(words),
        response_body=_prose(words),
        prompt_tokens=310,
        response_tokens=290,
        total_tokens=600,
        usage_source="provider",
        cost="0.004",
    )


def _prose(words: random.Random) -> str:
    """About 1.5 KB that compresses as text does."""
    return " ".join(format(words.randrange(4096), "x") * 2 for _ in range(_BODY_WORDS))
