"""The published prices of the vendors, read from the data that ``genai-prices`` ships.

Only its data and its model matching are used. Its calculation (some 60 microseconds a price) is replaced by
``Rates``, and its updater, which would fetch prices over the network, is never started.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from importlib.metadata import version
from typing import Final

import msgspec
from genai_prices.types import (
    ClauseEquals,
    ClauseOr,
    ConditionalPrice,
    MatchLogic,
    ModelInfo,
    ModelPrice,
    PriceVariant,
    Provider,
    StartDateConstraint,
    TieredPrices,
    TimeOfDateConstraint,
)

from weir_core.money import EXACT
from weir_core.rates import Band, Prices, PriceSheet

CATALOGUE_CURRENCY: Final = "USD"

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_PROVIDER_OF_VENDOR: Final[Mapping[str, str]] = {
    "anthropic": "anthropic",
    "openai": "openai",
    "openai_compatible": "openai",
}
# Someone else's endpoint may serve a model under a name that only resembles one of the provider's.
_EXACT_NAMES_ONLY: Final = frozenset({"openai_compatible"})

# What an answer can say about its class of service, as the catalogue's price variants call it.
_SERVICE_TIER_KEYS: Final = frozenset({"service_tier", "speed"})

_PRICE_KEYS: Final[Mapping[str, str]] = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cache_read": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
    "reasoning": "output_reasoning_mtok",
    "audio_input": "input_audio_mtok",
    "audio_output": "output_audio_mtok",
    "web_search": "web_searches_kcount",
    "file_search": "storage_searches_kcount",
}
_PER_THOUSAND: Final = "_kcount"


class Catalogue:
    """Published list prices, in US dollars.

    Args:
        providers: The providers and their models.
        version: Names this state of the data in events.
    """

    def __init__(self, providers: Sequence[Provider], version: str) -> None:
        self._providers = {provider.id: provider for provider in providers}
        self.version = version

    @classmethod
    def bundled(cls) -> Catalogue:
        """The data of the installed ``genai-prices`` (the first call loads it, some 0.2 s)."""
        from genai_prices.data import providers  # noqa: PLC0415 - thirty thousand lines, for who prices only

        return cls(providers, f"genai-prices-{version('genai-prices')}")

    def sheet(self, vendor: str, model: str, at_us: int) -> PriceSheet | None:
        """The list prices of a model at a moment, None when it has none by the token."""
        info = self._find(vendor, model)
        if info is None:
            return None
        moment = _EPOCH + timedelta(microseconds=at_us)
        standard = _bands(info.get_prices(moment))
        if not standard:
            return None
        return PriceSheet(
            standard=standard,
            by_service_tier={
                tier: _bands(info.get_prices(moment, {key: tier})) for key, tier in _service_tiers(info)
            },
            changes_at_us=min((_microseconds(change) for change in _changes(info, moment)), default=None),
        )

    def _find(self, vendor: str, model: str) -> ModelInfo | None:
        provider = self._providers.get(_PROVIDER_OF_VENDOR.get(vendor, ""))
        if provider is None:
            return None
        if vendor in _EXACT_NAMES_ONLY:
            name = model.lower()
            return next((info for info in provider.models if name in _names(info)), None)
        return provider.find_model(model)


def _names(info: ModelInfo) -> set[str]:
    return {info.id.lower(), *_equal_names(info.match)}


def _equal_names(clause: MatchLogic) -> Iterator[str]:
    if isinstance(clause, ClauseEquals):
        yield clause.equals.lower()
    elif isinstance(clause, ClauseOr):
        for alternative in clause.or_:
            yield from _equal_names(alternative)


def _bands(listed: ModelPrice) -> tuple[Band, ...]:
    """The standard band and one for each threshold of any price; none for a model not priced by the token."""
    found = {field: getattr(listed, key) for field, key in _PRICE_KEYS.items()}
    if found["input"] is None:
        return ()
    thresholds = {
        tier.start for price in found.values() if isinstance(price, TieredPrices) for tier in price.tiers
    }
    return (
        Band(0, _prices_above(None, found)),
        *(Band(threshold, _prices_above(threshold, found)) for threshold in sorted(thresholds)),
    )


def _prices_above(threshold: int | None, found: Mapping[str, Decimal | TieredPrices | None]) -> Prices:
    prices = {field: _price_above(threshold, price) for field, price in found.items()}
    per_million = {
        field: price.scaleb(3, context=EXACT)
        if price is not None and _PRICE_KEYS[field].endswith(_PER_THOUSAND)
        else price
        for field, price in prices.items()
    }
    return msgspec.convert(per_million, Prices)


def _price_above(threshold: int | None, price: Decimal | TieredPrices | None) -> Decimal | None:
    if not isinstance(price, TieredPrices):
        return price
    reached = [tier.price for tier in price.tiers if threshold is not None and tier.start <= threshold]
    return reached[-1] if reached else price.base


def _service_tiers(info: ModelInfo) -> Iterator[tuple[str, str]]:
    for variant in info.price_variants or ():
        if len(variant.when) == 1:
            key, tier = next(iter(variant.when.items()))
            if key in _SERVICE_TIER_KEYS:
                yield key, tier


def _changes(info: ModelInfo, moment: datetime) -> Iterator[datetime]:
    """The moments after this one at which a dated or daily price starts or ends, the next of each."""
    conditional: list[ConditionalPrice | PriceVariant] = [*(info.price_variants or ())]
    if isinstance(info.prices, list):
        conditional += info.prices
    for price in conditional:
        match price.constraint:
            case StartDateConstraint(start_date):
                start = datetime.combine(start_date, time(), UTC)
                if start > moment:
                    yield start
            case TimeOfDateConstraint(start_time, end_time):
                yield _next_time(start_time, moment)
                yield _next_time(end_time, moment)


def _next_time(daily: time, moment: datetime) -> datetime:
    zoned = daily if daily.tzinfo is not None else daily.replace(tzinfo=UTC)
    # A zone may put the day's occurrence on either side of ours.
    days = (moment.date() + timedelta(days=offset) for offset in (-1, 0, 1, 2))
    return next(at for at in (datetime.combine(day, zoned) for day in days) if at > moment)


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)
