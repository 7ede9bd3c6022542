"""The arithmetic of windows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.streams.windows.bench import LENGTH_S, NOON_S, billed

from weir_streams.windows.sums import Sums, add_up, key_of, sums_of, window_start


@given(st.integers(0, 2**52), st.sampled_from([1, 60, 300, 3600, 86400]))
def test_each_moment_is_in_the_one_window_that_begins_at_or_before_it(moment_us: int, length_s: int) -> None:
    start_s = window_start(moment_us, length_s)
    assert start_s % length_s == 0
    assert start_s * 1_000_000 <= moment_us < (start_s + length_s) * 1_000_000


def test_an_event_belongs_to_the_window_of_its_own_time() -> None:
    last_moment = NOON_S + LENGTH_S - 0.000001
    assert key_of(billed(last_moment), LENGTH_S).start_s == NOON_S
    assert key_of(billed(NOON_S + LENGTH_S), LENGTH_S).start_s == NOON_S + LENGTH_S


def test_windows_are_by_app_llm_model_and_currency() -> None:
    events = [
        billed(),
        billed(app_id=8),
        billed(llm_id=4),
        billed(model_name="other"),
        billed(currency="EUR"),
        billed(app_id=None, llm_id=None, model_name=None),
    ]
    assert len(add_up([*events, *events], LENGTH_S)) == len(events)


@given(st.lists(st.integers(0, 10**15), max_size=30), st.randoms(use_true_random=False))
def test_the_sum_is_exact_to_the_nano_unit_in_any_order(costs: list[int], random: object) -> None:
    events = [billed(cost=f"{cost // 10**9}.{cost % 10**9:09d}") for cost in costs]
    random.shuffle(events)  # type: ignore[attr-defined]
    assert sum(sums.cost_nano for sums in add_up(events, LENGTH_S).values()) == sum(costs)


def test_a_request_adds_its_counts_its_tokens_and_its_upstreams_time() -> None:
    attempts = [
        {"llm_id": 3, "status": 500, "latency_ms": 1.5},
        {"llm_id": 4, "status": 200, "latency_ms": 2.25},
    ]
    found = sums_of(billed(attempts=attempts, cache_read_tokens=4, cache_write_tokens=1, reasoning_tokens=2))
    assert found == Sums(
        requests=1,
        prompt_tokens=10,
        response_tokens=5,
        cache_read_tokens=4,
        cache_write_tokens=1,
        reasoning_tokens=2,
        total_tokens=15,
        cost_nano=1_000_000,
        attempted=1,
        latency_us=3750,
    )


def test_what_was_not_served_is_an_error_and_an_unknown_price_is_counted() -> None:
    found = sums_of(billed(outcome="upstream_error", cost=None))
    assert (found.requests, found.errors, found.cost_nano, found.unknown_prices) == (1, 1, 0, 1)


def test_an_answer_without_an_upstream_has_no_latency() -> None:
    found = sums_of(billed(attempts=[]))
    assert (found.requests, found.attempted, found.latency_us) == (1, 0, 0)


def test_a_correction_adds_its_numbers_and_is_no_request() -> None:
    both = sums_of(billed()).plus(sums_of(billed(corrects="event-1", cost="-0.0005", total_tokens=-5)))
    assert (both.requests, both.corrections, both.total_tokens) == (1, 1, 10)
    assert both.cost_nano == 500_000


def test_an_absurd_latency_spoils_no_sum() -> None:
    assert sums_of(billed(attempts=[{"latency_ms": 1e300}])).latency_us == 24 * 3600 * 1_000_000
    assert sums_of(billed(attempts=[{"latency_ms": -5}])).latency_us == 0
