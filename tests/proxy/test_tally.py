"""A histogram that is written now and then says what one says that is written at once."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Histogram, generate_latest

from weir_proxy.tally import TalliedHistogram

BUCKETS = (0.1, 0.5, 1)
AMOUNTS = [0.0, 0.1, 0.100001, 0.5, 0.75, 1, 2.5, 100.0]


def text_of(registry: CollectorRegistry) -> list[str]:
    return [line for line in generate_latest(registry).decode().splitlines() if "_created" not in line]


def test_what_was_flushed_is_what_would_have_been_observed() -> None:
    at_once, tallied = CollectorRegistry(), CollectorRegistry()
    observed = Histogram("seconds", "How long.", ["llm"], buckets=BUCKETS, registry=at_once).labels("gpt")
    waiting = TalliedHistogram("seconds", "How long.", ["llm"], buckets=BUCKETS, registry=tallied).labels(
        "gpt"
    )
    for amount in AMOUNTS:
        observed.observe(amount)
        waiting.tally(amount)
    before = text_of(tallied)
    waiting.flush()
    waiting.flush()
    assert 'seconds_count{llm="gpt"} 0.0' in before
    assert text_of(tallied) == text_of(at_once)
