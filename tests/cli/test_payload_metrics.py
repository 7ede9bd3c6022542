"""What control counts of edge payloads."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from weir_cli.payload_metrics import DeliveryMetrics
from weir_control.studio.dispatching import DispatchStatus


def test_what_waits_was_delivered_and_was_given_up_is_counted() -> None:
    registry = CollectorRegistry()
    metrics = DeliveryMetrics(registry)
    metrics.show(DispatchStatus(handled=5, failed_tries=9, dead_letters=1), {"waiting": 3, "failed": 2})
    metrics.show(DispatchStatus(handled=8, failed_tries=9, dead_letters=1), {"failed": 2})
    assert registry.get_sample_value("weir_edge_payloads_waiting") == 0
    assert registry.get_sample_value("weir_edge_payloads_dead") == 2
    tries = {
        result: registry.get_sample_value("weir_edge_payloads_total", {"result": result})
        for result in ("delivered", "failed", "dead")
    }
    assert tries == {"delivered": 8, "failed": 9, "dead": 1}
