"""Plain ``def`` collectors on the real plugin host: a backlog is no reason to time out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, ClassVar

import pytest
from tests.collectors.conftest import QUICK, never_opens
from tests.fakes.gateway_events import analytics, budget_usage, plugin, proxy_log, record

from weir_collectors.collector import Collector
from weir_collectors.decoding import read_event
from weir_collectors.handled import Decision
from weir_collectors.kinds import EventKind
from weir_core.clock import SystemClock
from weir_core.snapshot import Snapshot
from weir_host.host import PluginHost
from weir_host.limits import HostLimits
from weir_sdk import BasePlugin, Context, DataCollectionResponse, Event
from weir_streams.events import encode

EVENTS = {
    EventKind.PROXY_LOG: proxy_log,
    EventKind.ANALYTICS: analytics,
    EventKind.BUDGET_USAGE: budget_usage,
}


class LoopTime:
    """What the event loop takes for the time; it moves only while a handler is at work."""

    now = 0.0

    def __call__(self) -> float:
        return self.now

    def pass_one_call(self) -> None:
        self.now += 0.2


class OneByOne(BasePlugin):
    time: ClassVar[LoopTime]

    def handle_proxy_log(self, ctx: Context, event: Event) -> DataCollectionResponse:
        self.time.pass_one_call()
        return DataCollectionResponse(handled=True)

    handle_analytics = handle_budget_usage = handle_proxy_log


class Batches(BasePlugin):
    time: ClassVar[LoopTime]

    def handle_batch(self, ctx: Context, events: Sequence[Event]) -> list[DataCollectionResponse]:
        self.time.pass_one_call()
        return [DataCollectionResponse(handled=True) for _ in events]


@pytest.fixture
async def time(monkeypatch: pytest.MonkeyPatch) -> LoopTime:
    time = LoopTime()
    monkeypatch.setattr(asyncio.get_running_loop(), "time", time)
    return time


@pytest.fixture
async def one_thread(logger: Any) -> AsyncIterator[PluginHost]:
    """A host in which the plain handlers of a plugin run one after the other."""
    host = PluginHost(
        runtime="gateway",
        hook_types=frozenset({"data_collection"}),
        gateway_reads=lambda: Snapshot(1),
        plugin_modules=None,
        edge_id="",
        edge_namespace="",
        logger=logger,
        clock=SystemClock(),
        limits=HostLimits(threads_per_plugin=1),
    )
    yield host
    await host.close()


@pytest.mark.parametrize("slow", [OneByOne, Batches])
async def test_the_wait_for_a_thread_counts_against_no_event_of_any_kind(
    one_thread: PluginHost, time: LoopTime, monkeypatch: pytest.MonkeyPatch, slow: type[BasePlugin]
) -> None:
    monkeypatch.setattr(slow, "time", time, raising=False)
    sink = plugin(command=f"python://{__name__}:{slow.__name__}", timeout_ms=300, max_tries=1)
    await one_thread.apply(Snapshot(1, [sink]), 60)
    collectors = {
        kind: Collector(sink, kind, frozenset(), host=one_thread, backoff=QUICK, breaker=never_opens())
        for kind in EVENTS
    }
    decisions = await asyncio.gather(
        *(
            collectors[kind].decide(read_event(record(encode(event()).value)))
            for kind, event in EVENTS.items()
            for _ in range(5)
        )
    )
    assert decisions == [Decision("sink", handled=True, tries=1)] * 15
