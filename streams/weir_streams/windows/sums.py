"""The arithmetic of tumbling windows: which window an event belongs to, and what it adds there.

Windows go by the event's own time and are aligned with the Unix epoch. Everything is an integer, so that the
order in which events are added never matters.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from weir_streams.billed import LONGEST_CURRENCY, LONGEST_NAME, Billed, BilledUsage, key_text

US_PER_S: Final = 1_000_000
_LONGEST_LATENCY_MS: Final = 24 * 3600 * 1000.0


class WindowKey(NamedTuple):
    """One window: ``start_s`` in seconds since the epoch; 0 and the empty text are none."""

    start_s: int
    app_id: int
    llm_id: int
    model_name: str
    currency: str


class Sums(NamedTuple):
    """What a window adds up. Costs in nano-units, latencies in microseconds."""

    requests: int = 0
    errors: int = 0
    corrections: int = 0
    prompt_tokens: int = 0
    response_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    total_tokens: int = 0
    cost_nano: int = 0
    unknown_prices: int = 0
    attempted: int = 0
    """Requests that went upstream: what ``latency_us`` is divided by for its average."""
    latency_us: int = 0

    def plus(self, other: Sums) -> Sums:
        """Both together."""
        return Sums(*map(int.__add__, self, other))


def window_start(timestamp_us: int, length_s: int) -> int:
    """The second at which the window of a moment begins."""
    return timestamp_us // (length_s * US_PER_S) * length_s


def key_of(billed: Billed, length_s: int) -> WindowKey:
    """The window that an analytics event belongs to."""
    event = _usage(billed)
    return WindowKey(
        window_start(billed.timestamp_us, length_s),
        event.app_id or 0,
        event.llm_id or 0,
        key_text(event.model_name, LONGEST_NAME),
        key_text(event.currency, LONGEST_CURRENCY),
    )


def sums_of(billed: Billed) -> Sums:
    """What one analytics event adds. A correction adds its numbers and is no request."""
    event = _usage(billed)
    original = event.corrects is None
    attempted = original and bool(event.attempts)
    return Sums(
        requests=int(original),
        errors=int(original and event.ended != "served"),
        corrections=int(not original),
        prompt_tokens=event.prompt_tokens,
        response_tokens=event.response_tokens,
        cache_read_tokens=event.cache_read_tokens,
        cache_write_tokens=event.cache_write_tokens,
        reasoning_tokens=event.reasoning_tokens,
        total_tokens=event.total_tokens,
        cost_nano=billed.cost_nano or 0,
        unknown_prices=int(original and billed.cost_nano is None),
        attempted=int(attempted),
        latency_us=_latency_us(event) if attempted else 0,
    )


def add_up(events: Iterable[Billed], length_s: int) -> dict[WindowKey, Sums]:
    """What some events add to which windows."""
    windows: dict[WindowKey, Sums] = {}
    for billed in events:
        key = key_of(billed, length_s)
        sums = sums_of(billed)
        present = windows.get(key)
        windows[key] = sums if present is None else present.plus(sums)
    return windows


def _latency_us(event: BilledUsage) -> int:
    return sum(
        round(min(max(attempt.latency_ms, 0.0), _LONGEST_LATENCY_MS) * 1000) for attempt in event.attempts
    )


def _usage(billed: Billed) -> BilledUsage:
    assert isinstance(billed.event, BilledUsage), "windows are made of analytics events"
    return billed.event
