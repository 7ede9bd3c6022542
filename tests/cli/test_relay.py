"""What a relay says of itself."""

from __future__ import annotations

import asyncio

import httpx2
import msgspec
from prometheus_client import CollectorRegistry, generate_latest

from weir_cli.listening import bind
from weir_cli.relay_metrics import RelayMetrics
from weir_cli.role_health import HealthApp, serve_health
from weir_streams.backlog import Backlog
from weir_streams.kafka.relay import RelayStatus


def test_counters_follow_the_status_however_often_it_is_shown() -> None:
    registry = CollectorRegistry()
    metrics = RelayMetrics(registry)
    first = RelayStatus(sent_events=3, sent_bytes=100, deliveries_failed=1, backlog=Backlog(7, 70, 1_000_000))
    second = msgspec.structs.replace(
        first,
        sent_events=5,
        events_set_aside=1,
        events_restamped=2,
        bytes_aside=9,
        connected=True,
        backlog=Backlog(),
    )
    for status in (first, first):
        metrics.show(status, 5_000_000)
    waiting = generate_latest(registry).decode().splitlines()
    assert {"weir_relay_lag_events 7.0", "weir_relay_lag_seconds 4.0", "weir_relay_connected 0.0"} <= {
        *waiting
    }
    metrics.show(second, 5_000_000)
    shown = generate_latest(registry).decode().splitlines()
    assert "weir_relay_events_total 5.0" in shown
    assert "weir_relay_failures_total 1.0" in shown
    assert "weir_relay_set_aside_total 1.0" in shown
    assert "weir_relay_restamped_total 2.0" in shown
    assert "weir_relay_refused_bytes 9.0" in shown
    assert {"weir_relay_lag_events 0.0", "weir_relay_lag_seconds 0.0", "weir_relay_connected 1.0"} <= {*shown}


async def test_a_role_without_a_port_of_its_own_can_be_asked_for_its_health() -> None:
    reasons = ["Kafka is not there"]
    stop = asyncio.Event()
    listener = bind("127.0.0.1", 0)
    app = HealthApp(lambda: reasons, CollectorRegistry())
    serving = asyncio.create_task(serve_health(app, listener, stop))
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}") as client:
        assert (await client.get("/health")).status_code == 200
        not_ready = await client.get("/ready")
        assert (not_ready.status_code, not_ready.json()["reasons"]) == (503, reasons)
        reasons.clear()
        assert (await client.get("/ready")).status_code == 200
        assert (await client.get("/metrics")).headers["content-type"].startswith("text/plain")
        assert (await client.get("/other")).status_code == 404
    stop.set()
    await serving
