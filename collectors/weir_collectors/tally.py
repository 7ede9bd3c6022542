"""Adding events up: from a batch to the rows that its sums are added to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple, TypeVar

from weir_collectors.erasures import Erasures
from weir_streams.billed import LONGEST_CURRENCY, LONGEST_NAME, Billed, BilledSpend, BilledUsage, key_text

HOUR_US: Final = 3_600_000_000

_OUTCOMES: Final = ("blocked", "denied", "upstream_error", "client_aborted", "gateway_error")
# Bytes. With them the longest key stays below what a Postgres index row may hold.
_LONGEST_VENDOR: Final = 64
_LONGEST_NAMESPACE: Final = 128
_LONGEST_PERIOD: Final = 64


class RollupKey(NamedTuple):
    """One row of ``rollups_hourly``."""

    hour: int
    app_id: int
    llm_id: int
    vendor: str
    model: str
    user_id: str
    edge_namespace: str
    currency: str


class SpendKey(NamedTuple):
    """One row of ``budget_spend``."""

    app_id: int
    llm_id: int
    period_id: str
    currency: str


_Key = TypeVar("_Key", RollupKey, SpendKey)


class Tally:
    """What to add to which row, in the order of ``SUMS`` and ``SPEND_SUMS``."""

    def __init__(self) -> None:
        self.rollups: dict[RollupKey, tuple[int, ...]] = {}
        self.spend: dict[SpendKey, tuple[int, ...]] = {}

    def add(self, billed: Billed, erased: Erasures) -> None:
        """Add one event. Who was erased has no name in the sums."""
        event = billed.event
        if isinstance(event, BilledSpend):
            _put(self.spend, _spend_key(event), _spend_sums(event, billed.cost_nano))
        else:
            nameless = bool(erased) and erased.cover(event.app_id, event.user_id, billed.timestamp_us)
            _put(
                self.rollups,
                _rollup_key(event, billed.timestamp_us, nameless),
                _usage_sums(event, billed.cost_nano),
            )


def add_up(events: Iterable[Billed], erased: Erasures) -> Tally:
    """Add all of them."""
    tally = Tally()
    for billed in events:
        tally.add(billed, erased)
    return tally


def user_key(user_id: str | None) -> str:
    """A user as the sums name them."""
    return key_text(user_id, LONGEST_NAME)


def _put(rows: dict[_Key, tuple[int, ...]], key: _Key, sums: tuple[int, ...]) -> None:
    present = rows.get(key)
    rows[key] = sums if present is None else tuple(map(int.__add__, present, sums))


def _rollup_key(event: BilledUsage, timestamp_us: int, nameless: bool) -> RollupKey:
    return RollupKey(
        timestamp_us // HOUR_US,
        event.app_id or 0,
        event.llm_id or 0,
        key_text(event.vendor, _LONGEST_VENDOR),
        key_text(event.model_name, LONGEST_NAME),
        "" if nameless else user_key(event.user_id),
        key_text(event.edge_namespace, _LONGEST_NAMESPACE),
        key_text(event.currency, LONGEST_CURRENCY),
    )


def _usage_sums(event: BilledUsage, cost_nano: int | None) -> tuple[int, ...]:
    original = event.corrects is None
    ended = event.ended if original else "served"
    source = event.usage_source if original else ""
    return (
        int(original),
        int(not original),
        int(ended != "served"),
        *[int(ended == outcome) for outcome in _OUTCOMES],
        event.prompt_tokens,
        event.response_tokens,
        event.cache_read_tokens,
        event.cache_write_tokens,
        event.reasoning_tokens,
        event.total_tokens,
        int(source == "provider"),
        int(source == "estimated"),
        int(source == "none"),
        cost_nano or 0,
        int(original and cost_nano is None),
    )


def _spend_key(event: BilledSpend) -> SpendKey:
    return SpendKey(
        event.app_id or 0,
        event.llm_id or 0,
        key_text(event.period_id, _LONGEST_PERIOD),
        key_text(event.currency, LONGEST_CURRENCY),
    )


def _spend_sums(event: BilledSpend, cost_nano: int | None) -> tuple[int, ...]:
    original = event.corrects is None
    return (
        event.requests_count if original else 0,
        int(not original),
        event.tokens_used,
        event.prompt_tokens,
        event.response_tokens,
        cost_nano or 0,
        int(original and cost_nano is None),
    )
