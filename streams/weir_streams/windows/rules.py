"""When a window raises an alert."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

import msgspec

from weir_core.money import nano_to_text
from weir_streams.windows.messages import Alert, AlertKind, Scope, alert_id, window_bounds


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What is too much; None is never. Amounts in nano-units, the others exactly as they were written."""

    spend_nano: int | None = None
    spike_factor: Decimal | None = None
    spike_windows: int = 12
    error_rate: Decimal | None = None
    error_requests: int = 20


class AppWindow(NamedTuple):
    """What one app spent in one window, and in its last windows with spend before that one."""

    start_s: int
    app_id: int
    currency: str
    cost_nano: int
    earlier_nano: Sequence[int]
    requests: int
    errors: int


class LlmWindow(NamedTuple):
    """How one LLM's requests in one window ended."""

    start_s: int
    llm_id: int
    requests: int
    errors: int


def app_alerts(rules: Rules, window: AppWindow, length_s: int) -> Iterator[Alert]:
    """What an app's spend in a window raises, as it stands."""
    if rules.spend_nano is not None and window.cost_nano >= rules.spend_nano:
        yield _of_app("spend", window, length_s, rules.spend_nano, "at least")
    usual = window.earlier_nano[: rules.spike_windows]
    if rules.spike_factor is not None and len(usual) == rules.spike_windows:
        # Exact, as all sums of money are.
        limit = Fraction(rules.spike_factor) * sum(usual) / len(usual)
        if window.cost_nano > limit:
            yield _of_app("spike", window, length_s, int(limit), f"{rules.spike_factor:f} times its usual")


def llm_alerts(rules: Rules, window: LlmWindow, length_s: int) -> Iterator[Alert]:
    """What the errors of an LLM in a window raise, as they stand."""
    rate = rules.error_rate
    if rate is None or window.requests < rules.error_requests:
        return
    if window.errors >= Fraction(rate) * window.requests:
        share = window.errors / window.requests
        yield _alert(
            "error_rate",
            ("llm", window.llm_id),
            window,
            length_s,
            value=f"{share:.4f}",
            limit=f"{rate:f}",
            currency=None,
            text=f"{window.errors} of {window.requests} requests to LLM {window.llm_id} were not served",
        )


def _of_app(kind: AlertKind, window: AppWindow, length_s: int, limit_nano: int, than: str) -> Alert:
    spent, limit = nano_to_text(window.cost_nano), nano_to_text(limit_nano)
    return _alert(
        kind,
        ("app", window.app_id),
        window,
        length_s,
        value=spent,
        limit=limit,
        currency=window.currency,
        text=f"app {window.app_id} spent {spent} {window.currency} in {length_s} s: {than} {limit}",
    )


def _alert(
    kind: AlertKind,
    scope: tuple[Scope, int],
    window: AppWindow | LlmWindow,
    length_s: int,
    *,
    value: str,
    limit: str,
    currency: str | None,
    text: str,
) -> Alert:
    start, end = window_bounds(window.start_s, length_s)
    return Alert(
        alert_id=alert_id(kind, scope[1], currency or "", window.start_s, length_s),
        kind=kind,
        scope=scope[0],
        scope_id=scope[1],
        window_start=start,
        window_end=end,
        value=value,
        limit=limit,
        currency=currency,
        requests=window.requests,
        errors=window.errors,
        text=text,
    )
