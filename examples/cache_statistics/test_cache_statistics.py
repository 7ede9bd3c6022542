from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cache_statistics.aggregator import CacheAggregator
from cache_statistics.plugin import CacheStatistics

from weir_sdk import EdgePayload
from weir_sdk.testing import FakeGateway, make_analytics, make_context, run


def aggregator(file: Path) -> CacheAggregator:
    plugin = CacheAggregator()
    run(plugin.initialize, make_context(), {"file": str(file)})
    return plugin


def payload(name: str, counts: Any = None, **changes: Any) -> EdgePayload:
    fields: dict[str, Any] = {"edge_id": "edge-1", "plugin_id": 7, "metadata": {"kind": "cache_statistics"}}
    content = json.dumps({"calls": 2, "hits": 1} if counts is None else counts).encode()
    return EdgePayload(id=name, payload=content, **(fields | changes))


def sums(file: Path) -> Any:
    return json.loads(file.read_text())["edges"]


def test_counts_are_sent_after_every_so_many_calls() -> None:
    gateway = FakeGateway()
    ctx = make_context(gateway=gateway)
    plugin = CacheStatistics()
    run(plugin.initialize, ctx, {"every": 2})
    for cached in (0, 8):
        run(plugin.handle_analytics, ctx, make_analytics(prompt_tokens=10, cache_read_tokens=cached))
    (sent,) = gateway.sent
    assert sent.json() == {"calls": 2, "hits": 1, "prompt_tokens": 20, "cache_read_tokens": 8}
    assert sent.metadata == {"kind": "cache_statistics"}


def test_what_is_left_is_sent_at_the_end() -> None:
    gateway = FakeGateway()
    ctx = make_context(gateway=gateway)
    plugin = CacheStatistics()
    run(plugin.handle_analytics, ctx, make_analytics())
    run(plugin.shutdown, ctx)
    assert [one.json()["calls"] for one in gateway.sent] == [1]


def test_sums_are_kept_by_edge_and_through_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "sums.json"
    run(aggregator(file).accept_edge_payload, make_context(), payload("id-1"))
    again = aggregator(file)
    run(again.accept_edge_payload, make_context(), payload("id-2"))
    run(again.accept_edge_payload, make_context(), payload("id-3", edge_id="edge-2"))
    assert sums(file) == {"edge-1": {"calls": 4, "hits": 2}, "edge-2": {"calls": 2, "hits": 1}}


def test_a_payload_that_comes_twice_counts_once(tmp_path: Path) -> None:
    file = tmp_path / "sums.json"
    plugin = aggregator(file)
    for name in ("id-1", "id-2", "id-1", "id-2", "id-3"):
        run(plugin.accept_edge_payload, make_context(), payload(name))
    assert sums(file) == {"edge-1": {"calls": 6, "hits": 3}}


def test_what_others_sent_is_left_to_others(tmp_path: Path) -> None:
    plugin = aggregator(tmp_path / "sums.json")
    answer = run(plugin.accept_edge_payload, make_context(), payload("id-1", metadata={"kind": "other"}))
    assert not answer.handled


@pytest.mark.parametrize("rubbish", [[1], "text", {"calls": "many"}])
def test_rubbish_is_done_with_and_said_so(tmp_path: Path, rubbish: Any) -> None:
    plugin = aggregator(tmp_path / "sums.json")
    answer = run(plugin.accept_edge_payload, make_context(), payload("id-1", rubbish))
    assert answer.handled
    assert "not statistics" in answer.error_message
