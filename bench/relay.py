"""``python -m bench.relay``: the relay beside the bare client that sends the same bytes to the same Kafka.

The bare client has every event in memory, with its headers made; the relay reads the spool, makes the headers
and stores its progress. Both run in this process, in turns, so CPU time compares them whatever else the
machine does.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import statistics
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import structlog
from aiokafka import AIOKafkaProducer  # type: ignore[import-untyped]
from rich import box
from rich.console import Console
from rich.table import Table
from tests.support.servers.kafka import KafkaServer

from weir_core.clock import SystemClock, parse_rfc3339, rfc3339
from weir_streams.admission import Admission, EventIds
from weir_streams.cloudevents import kafka_headers
from weir_streams.embedded import EmbeddedLog
from weir_streams.events import EVENT_TOPICS, Analytics, BudgetUsage, EncodedEvent, Event, Latency, ProxyLog
from weir_streams.kafka.publisher import Publisher
from weir_streams.kafka.relay import Relay
from weir_streams.kafka.settings import KafkaSettings, RelaySettings
from weir_streams.kafka.topics import TopicOptions, open_topic_admin, planned_topics
from weir_streams.settings import SpoolSettings
from weir_streams.spool import Spool

_PARTITIONS: Final = 6
_APPS: Final = 50
_BODY_WORDS: Final = 250
_AT_ONCE: Final = 4096


class Turn(NamedTuple):
    """One way of sending everything: events per second of time, and of this process's CPU time."""

    events_per_s: float
    events_per_cpu_s: float


class Ready(NamedTuple):
    """An event as the bare client sends it."""

    topic: str
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]
    timestamp_ms: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 0."""
    parser = argparse.ArgumentParser(prog="python -m bench.relay", description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000, help="event families (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each (%(default)s)")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.ERROR)
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="weir-bench-")))
        server = KafkaServer(work / "kafka")
        stack.callback(server.stop)
        server.start()
        _fill(work / "data", options.requests)
        bare, relay = asyncio.run(_turns(work / "data", server.bootstrap_servers, options.rounds))
    _print(Console(), bare, relay)
    return 0


async def _turns(root: Path, servers: str, rounds: int) -> tuple[list[Turn], list[Turn]]:
    ready = await _read(root)
    bare, relay = [], []
    for _ in range(rounds):
        bare.append(await _timed(len(ready), partial(_send_bare, ready), servers))
        relay.append(await _timed(len(ready), partial(_send_by_relay, root), servers))
    return bare, relay


async def _timed(events: int, send: Callable[[KafkaSettings], Awaitable[None]], servers: str) -> Turn:
    settings = KafkaSettings(bootstrap_servers=servers, prefix=f"bench{uuid.uuid4().hex[:8]}.")
    async with open_topic_admin(settings) as admin:
        await admin.apply(planned_topics(settings, TopicOptions(partitions=_PARTITIONS)))
    began, began_cpu = time.perf_counter(), time.process_time()
    await send(settings)
    return Turn(events / (time.perf_counter() - began), events / (time.process_time() - began_cpu))


async def _send_bare(ready: Sequence[Ready], settings: KafkaSettings) -> None:
    relay = RelaySettings()
    producer = AIOKafkaProducer(
        **settings.client_options(),
        acks="all",
        enable_idempotence=True,
        compression_type=relay.compression,
        max_batch_size=relay.batch_bytes,
    )
    await producer.start()
    for start in range(0, len(ready), _AT_ONCE):
        sent = [
            await producer.send(
                settings.topic(one.topic),
                one.value,
                one.key,
                timestamp_ms=one.timestamp_ms,
                headers=one.headers,
            )
            for one in ready[start : start + _AT_ONCE]
        ]
        await asyncio.gather(*sent)
    await producer.stop()


async def _send_by_relay(root: Path, settings: KafkaSettings) -> None:
    options = RelaySettings(drain_s=600)
    relay = Relay(
        root,
        connect=partial(Publisher.open, settings, options),
        settings=options,
        clock=SystemClock(),
        logger=structlog.get_logger("weir.relay"),
        group=f"bench.{uuid.uuid4().hex}",
    )
    stop = asyncio.Event()
    stop.set()
    await relay.run(stop)


async def _read(root: Path) -> list[Ready]:
    log = EmbeddedLog(root, clock=SystemClock(), logger=structlog.get_logger("weir.bench"))
    consumer = await log.consumer("bench.read", EVENT_TOPICS)
    ready: list[Ready] = []
    while records := await consumer.poll(_AT_ONCE, 0.5):
        for record in records:
            headers = kafka_headers(EncodedEvent(record.partition.topic, record.key, record.value))
            timestamp_ms = parse_rfc3339(dict(headers)["ce_time"].decode()) // 1000
            ready.append(Ready(record.partition.topic, record.key, record.value, headers, timestamp_ms))
    await consumer.close()
    return ready


def _fill(root: Path, requests: int) -> None:
    words = random.Random(1)
    spool = Spool.open(
        root, settings=SpoolSettings(), clock=SystemClock(), logger=structlog.get_logger("weir.spool")
    )
    for number in range(requests):
        admission = Admission(
            request_id=uuid.uuid4().hex,
            started_us=SystemClock().wall_us(),
            llm_id=1,
            llm_slug="gpt",
            vendor="openai",
            method="POST",
            path="/v1/chat/completions",
        )
        slot = spool.admit(admission)
        spool.append(slot, _family(admission, slot.event_ids, number % _APPS, words))
    spool.close()


def _family(admission: Admission, ids: EventIds, app_id: int, words: random.Random) -> list[Event]:
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


def _print(console: Console, bare: Sequence[Turn], relay: Sequence[Turn]) -> None:
    table = Table("", "events/s", "events/s of CPU", title="Spool to Kafka, medians", box=box.SIMPLE_HEAD)
    for name, turns in (("bare client", bare), ("relay", relay)):
        whole = statistics.median(turn.events_per_s for turn in turns)
        of_cpu = statistics.median(turn.events_per_cpu_s for turn in turns)
        table.add_row(name, f"{whole:,.0f}", f"{of_cpu:,.0f}")
    pairs = list(zip(relay, bare, strict=True))
    table.add_row(
        "ratio",
        f"{statistics.median(mine.events_per_s / theirs.events_per_s for mine, theirs in pairs):.2f}",
        f"{statistics.median(mine.events_per_cpu_s / theirs.events_per_cpu_s for mine, theirs in pairs):.2f}",
    )
    console.print(table)


if __name__ == "__main__":
    raise SystemExit(main())
