"""What a finished call consumed and costs, whatever way it ended."""

from __future__ import annotations

import msgspec

from weir_core.money import nano_to_text
from weir_core.usage import NO_USAGE, Usage
from weir_core.vendors.estimate import (
    estimate_prompt_tokens,
    estimate_response_tokens,
    worst_case_prompt_tokens,
)
from weir_proxy.call import Call

_UNBOUNDED_OUTPUT_TOKENS = 16_384
_MOST_RESPONSE_TOKENS = 10**9


class Settlement(msgspec.Struct, frozen=True):
    """The bill of one call. ``cost`` is a decimal string, None when the price is unknown."""

    usage: Usage
    cost: str | None
    price_version: str | None


class Reservation(msgspec.Struct, frozen=True):
    """The worst case, noted before the first byte goes upstream."""

    usage: Usage
    cost_nano: int | None


def reserve(call: Call) -> Reservation:
    """Bound what the call can consume: the size of its input, and its output limit times its choices."""
    fields = call.fields
    prompt = worst_case_prompt_tokens(len(call.upstream_body))
    response = 0
    if call.operation is not None and call.operation.output_limit_fields and fields is not None:
        limit = fields.output_limit if fields.output_limit is not None else _UNBOUNDED_OUTPUT_TOKENS
        response = limit * max(1, fields.choices)
    usage = Usage(
        prompt_tokens=prompt, response_tokens=min(response, _MOST_RESPONSE_TOKENS), source="estimated"
    )
    rates = call.configuration.prices.rates(call.served.vendor.name, call.model) if call.model else None
    return Reservation(usage, rates.nano(usage) if rates is not None else None)


def settle(call: Call) -> Settlement:
    """Turn what was read from the upstream into tokens and money.

    An answer without counters is estimated from its size; an upstream that refused, or was never reached,
    consumed nothing.
    """
    usage = _usage(call)
    if usage.source == "none":
        return Settlement(usage, "0", None)
    answered_by = call.answer.model if call.answer is not None else None
    prices = call.configuration.prices
    for model in (answered_by, call.model):
        rates = prices.rates(call.served.vendor.name, model) if model else None
        if rates is not None:
            return Settlement(usage, nano_to_text(rates.nano(usage)), prices.version)
    return Settlement(usage, None, None)


def _usage(call: Call) -> Usage:
    if call.operation is None or not call.operation.metered or not call.sent_upstream:
        return NO_USAGE
    if call.answer is not None and call.answer.usage is not None:
        return call.answer.usage
    status = call.attempts[-1].status if call.attempts else None
    if status is not None and status >= 300:
        return NO_USAGE
    if call.outcome == "gateway_error" and call.reserved is not None:
        return call.reserved
    return Usage(
        prompt_tokens=estimate_prompt_tokens(len(call.upstream_body)),
        response_tokens=estimate_response_tokens(call.received_chars),
        source="estimated",
    )
