"""What a gateway's summaries say, and the plain sums that they are to be equal to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Final

from tests.support.world import World

from weir_cli.mock_upstream.ledger import LedgerCall
from weir_core.usage import Usage

_TOKENS: Final = (
    "prompt_tokens",
    "response_tokens",
    "cache_read_tokens",
    "reasoning_tokens",
    "total_tokens",
)

Sums = Counter[tuple[int, str, str]]
"""By LLM, model and field; costs as ``nano``, billionths of a dollar."""

Prices = Mapping[str, Mapping[str, str]]
"""By model and field of a model price, dollars per million tokens. Writing to the cache has none: the upstream never reports it."""


async def summary(world: World, group_by: str) -> Sums:
    """What the summary says, added up where it is grouped more finely than by LLM and model."""
    query = {"group_by": group_by, "limit": 100}
    answer = (await world.gateway.api.get("/api/v1/analytics/summary", params=query)).raise_for_status()
    return _summed(answer.json()["data"])


def added_up(events: Iterable[Mapping[str, Any]]) -> Sums:
    """The same as a plain sum over analytics events."""
    return _summed({"requests": 1, **event, "cost": event["cost"] or "0"} for event in events)


def counted_upstream(world: World, calls: Iterable[LedgerCall], prices: Prices) -> Sums:
    """The same as a plain sum over the upstream's log, at these prices."""
    llm_ids = {"openai": world.openai_id, "anthropic": world.anthropic_id}
    found: Sums = Counter()
    for call in calls:
        assert call.usage is not None
        assert call.model is not None
        key = llm_ids[call.vendor], call.model
        found[*key, "requests"] += 1
        for name in _TOKENS:
            found[*key, name] += getattr(call.usage, name)
        found[*key, "nano"] += _nano(call.usage, prices[call.model])
    return found


def _summed(groups: Iterable[Mapping[str, Any]]) -> Sums:
    found: Sums = Counter()
    for group in groups:
        key = group["llm_id"], group["model_name"]
        for name in ("requests", *_TOKENS):
            found[*key, name] += group[name]
        found[*key, "nano"] += int(Decimal(group["cost"]) * 10**9)
    return found


def _nano(usage: Usage, prices: Mapping[str, str]) -> int:
    """What a call costs, by the arithmetic of a price list: each token at its price, rounded once."""
    millionths = (
        (usage.prompt_tokens - usage.cache_read_tokens) * Decimal(prices["input"])
        + usage.cache_read_tokens * Decimal(prices["cache_read"])
        + (usage.response_tokens - usage.reasoning_tokens) * Decimal(prices["output"])
        + usage.reasoning_tokens * Decimal(prices["reasoning"])
    )
    return int((millionths * 1000).to_integral_value(ROUND_HALF_EVEN))
