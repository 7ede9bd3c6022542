"""Handled, with everything that a collector can make of an event: one table, on real SQLite."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.collectors.conftest import BOTH_DATABASES, Start, rows, stored_ids
from tests.collectors.sinks import Sink
from tests.fakes.event_log import FakeLog
from tests.fakes.gateway_events import plugin, proxy_log
from tests.fakes.plugin_host import FakeFeed, FakeHost, handles, hangs, passes

from weir_collectors.tables import records_proxy_logs
from weir_collectors.tables_dead_letters import dead_letter_ranges, dead_letters
from weir_core.objects import Plugin
from weir_sdk import DataCollectionResponse, PermanentError

DATABASES = BOTH_DATABASES

Manner = Literal["handles", "passes", "raises", "refuses", "hangs", "slow", "away", "observer", "absent"]


async def raises_always(_message: Any) -> DataCollectionResponse:
    raise ValueError("not today")


async def refuses(_message: Any) -> DataCollectionResponse:
    raise PermanentError("never")


async def slow(_message: Any) -> DataCollectionResponse:
    for _ in range(10):
        await asyncio.sleep(0)
    return DataCollectionResponse(handled=True)


async def away(_message: Any) -> DataCollectionResponse:
    raise ConnectionError("connection refused")


_HANDLERS: dict[Manner, Any] = {
    "handles": handles,
    "passes": passes,
    "raises": raises_always,
    "refuses": refuses,
    "hangs": hangs,
    "slow": slow,
    "away": away,
    "observer": handles,
}

# Whether the event is stored when this collector is alone, and what it leaves beside the record.
ALONE: dict[Manner, tuple[bool, str]] = {
    "handles": (False, ""),
    "passes": (True, ""),
    "raises": (True, "letter"),
    "refuses": (True, "letter"),
    "hangs": (True, "letter or range"),
    "slow": (False, ""),
    "away": (True, "letter or range"),
    "observer": (True, ""),
    "absent": (True, ""),
}

PAIRS = [
    (one, other) for one in ALONE for other in ALONE if list(ALONE).index(one) <= list(ALONE).index(other)
]


def put(host: FakeHost, plugin_id: int, manner: Manner) -> list[Plugin]:
    """A collector of this manner, as the configuration and the host have it."""
    if manner == "absent":
        return []
    host.put(plugin_id, proxy_log=_HANDLERS[manner])
    options = {"observer": manner == "observer", "timeout_ms": 5 if manner == "hangs" else 5000}
    return [plugin(plugin_id, f"{manner}-{plugin_id}", max_tries=2, **options)]


@pytest.mark.parametrize(("one", "other"), PAIRS)
async def test_an_event_is_stored_unless_a_decider_handled_it(
    start: Start,
    log: FakeLog,
    feed: FakeFeed,
    host: FakeHost,
    engine: AsyncEngine,
    one: Manner,
    other: Manner,
) -> None:
    feed.publish(1, [*put(host, 1, one), *put(host, 2, other)])
    events = [proxy_log() for _ in range(10)]
    log.append(*events)
    start()
    await log.until_all_committed()

    stored = ALONE[one][0] and ALONE[other][0]
    expected = [event.event_id for event in events] if stored else []
    assert sorted(await stored_ids(engine, records_proxy_logs)) == sorted(expected)
    for plugin_id, manner in ((1, one), (2, other)):
        slug = f"{manner}-{plugin_id}"
        letters = sum(row.collector == slug for row in await rows(engine, dead_letters))
        past = sum(row.events for row in await rows(engine, dead_letter_ranges) if row.collector == slug)
        left = ALONE[manner][1]
        assert letters + past == (10 if left else 0)
        assert past == 0 or left == "letter or range"


@pytest.mark.parametrize("with_handler", [True, False])
async def test_behind_an_open_breaker_the_others_decide(
    start: Start, log: FakeLog, feed: FakeFeed, host: FakeHost, engine: AsyncEngine, with_handler: bool
) -> None:
    sink = Sink()
    sink.goes()
    host.put(1, proxy_log=sink.take)
    host.put(2, proxy_log=handles if with_handler else passes)
    feed.publish(1, [plugin(1, "away"), plugin(2, "other")])
    log.append(*(proxy_log() for _ in range(20)))
    running = start()
    await log.until_all_committed()
    assert running.worker.status().collectors[0].breakers
    log.append(proxy_log(event_id="behind"))
    await log.until_all_committed()
    assert ("behind" in await stored_ids(engine, records_proxy_logs)) is not with_handler
