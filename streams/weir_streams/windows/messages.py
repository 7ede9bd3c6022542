"""What stands on ``weir.spend.v1`` and ``weir.alert.v1``. JSON Schemas in ``schemas/`` say the same."""

from __future__ import annotations

import uuid
from typing import Final, Literal

import msgspec

from weir_core.clock import rfc3339
from weir_core.money import nano_to_text
from weir_streams.windows.sums import US_PER_S, Sums, WindowKey

SPEND_TYPE: Final = "weir.spend.v1"
ALERT_TYPE: Final = "weir.alert.v1"

AlertKind = Literal["spend", "spike", "error_rate"]
Scope = Literal["app", "llm"]

_SOURCE: Final = "/weir/streams"
# Any fixed one: alerts' ids are derived below it, so that one made again has the same id.
_ALERT_IDS: Final = uuid.UUID("3c0f2a5e-6f0b-5d0e-9a39-6f6f1c7a2b11")
_ENCODER: Final = msgspec.json.Encoder()

Headers = list[tuple[str, bytes]]


class Spend(msgspec.Struct, kw_only=True):
    """One window as it stands: a later message with the same key takes its place."""

    window_start: str
    window_end: str
    app_id: int | None
    llm_id: int | None
    model_name: str | None
    currency: str
    requests: int
    errors: int
    corrections: int
    prompt_tokens: int
    response_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    total_tokens: int
    cost: str
    unknown_prices: int
    attempted: int
    latency_ms: float


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """Something about one window crossed its limit. Amounts are decimal strings, rates shares of one."""

    alert_id: str
    kind: AlertKind
    scope: Scope
    scope_id: int
    window_start: str
    window_end: str
    value: str
    limit: str
    currency: str | None
    requests: int
    errors: int
    text: str


def spend_key(key: WindowKey, length_s: int) -> bytes:
    """The key of a window's messages."""
    parts = (length_s, key.start_s, key.app_id, key.llm_id, key.currency, key.model_name)
    return "/".join(map(str, parts)).encode()


def spend_value(key: WindowKey, sums: Sums, length_s: int) -> bytes:
    """A window's message."""
    start, end = window_bounds(key.start_s, length_s)
    counted = {
        name: number
        for name, number in zip(Sums._fields, sums, strict=True)
        if name in Spend.__struct_fields__
    }
    return _ENCODER.encode(
        Spend(
            window_start=start,
            window_end=end,
            app_id=key.app_id or None,
            llm_id=key.llm_id or None,
            model_name=key.model_name or None,
            currency=key.currency,
            cost=nano_to_text(sums.cost_nano),
            latency_ms=sums.latency_us / 1000,
            **counted,
        )
    )


def alert_value(alert: Alert) -> bytes:
    """An alert's message."""
    return _ENCODER.encode(alert)


def alert_id(kind: AlertKind, scope_id: int, currency: str, start_s: int, length_s: int) -> str:
    """The same for the same crossing, whoever finds it and how often."""
    return str(uuid.uuid5(_ALERT_IDS, f"{kind}/{scope_id}/{currency}/{start_s}/{length_s}"))


def headers(kind: str, message_id: str, subject: str, wall_us: int) -> Headers:
    """CloudEvents headers, as those of events."""
    named = {
        "ce_specversion": "1.0",
        "ce_id": message_id,
        "ce_type": kind,
        "ce_source": _SOURCE,
        "ce_subject": subject,
        "ce_time": rfc3339(wall_us),
        "content-type": "application/json",
    }
    return [(name, value.encode()) for name, value in named.items()]


def window_bounds(start_s: int, length_s: int) -> tuple[str, str]:
    """Begin and end of a window; the end is the next one's beginning."""
    return rfc3339(start_s * US_PER_S), rfc3339((start_s + length_s) * US_PER_S)
