"""Prices of one model, compiled so that a call's exact cost is ten multiplications of integers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final

import msgspec

from weir_core.money import EXACT
from weir_core.usage import Usage

_MILLION_EXPONENT: Final = 6
_NANO_EXPONENT: Final = 9


class Prices(msgspec.Struct, frozen=True, kw_only=True):
    """What a million of each counter costs, in the ledger currency.

    None means that the counter has no price of its own: its tokens are charged with those they are part of
    (cache, audio and reasoning with the prompt or the response), its calls are free.
    """

    input: Decimal
    output: Decimal | None = None
    cache_read: Decimal | None = None
    cache_write: Decimal | None = None
    cache_write_1h: Decimal | None = None
    reasoning: Decimal | None = None
    audio_input: Decimal | None = None
    audio_output: Decimal | None = None
    web_search: Decimal | None = None
    file_search: Decimal | None = None

    def in_counting_order(self) -> tuple[Decimal, ...]:
        """The price of each counter in the order in which ``Rates.cost`` multiplies them."""
        output = _first(self.output, Decimal(0))
        cache_write = _first(self.cache_write, self.input)
        return (
            self.input,
            _first(self.cache_read, self.input),
            cache_write,
            _first(self.cache_write_1h, cache_write),
            _first(self.audio_input, self.input),
            output,
            _first(self.reasoning, output),
            _first(self.audio_output, output),
            _first(self.web_search, Decimal(0)),
            _first(self.file_search, Decimal(0)),
        )


class Band(msgspec.Struct, frozen=True):
    """Prices that apply to the whole call once its prompt has more than ``above`` tokens."""

    above: int
    prices: Prices


class PriceSheet(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that can be charged for one model at one moment.

    ``standard`` and each list in ``by_service_tier`` are bands in ascending order; the first one's ``above``
    is 0 and it applies from the first token. ``changes_at_us`` is the moment from which the sheet is out of
    date, None for never.
    """

    standard: tuple[Band, ...]
    by_service_tier: Mapping[str, tuple[Band, ...]] = {}
    changes_at_us: int | None = None


class _Table(msgspec.Struct, frozen=True):
    """Bands as integers: the price of each counter in units of 10 ** -exponent of the currency."""

    first: tuple[int, ...]
    steps: tuple[tuple[int, tuple[int, ...]], ...]


class Rates:
    """What calls of one model cost.

    ``prices`` are the standard prices below the first threshold, for those who want to show them.
    """

    __slots__ = ("_by_service_tier", "_exponent", "_standard", "_units_per_nano", "prices")

    def __init__(self, sheet: PriceSheet) -> None:
        lists = [sheet.standard, *sheet.by_service_tier.values()]
        places = max(_decimal_places(band.prices) for bands in lists for band in bands)
        self.prices = sheet.standard[0].prices
        # At least as fine as a nano-unit, so that rounding is one division of integers.
        places = max(places, _NANO_EXPONENT - _MILLION_EXPONENT)
        self._exponent = -(places + _MILLION_EXPONENT)
        self._units_per_nano: int = 10 ** (places + _MILLION_EXPONENT - _NANO_EXPONENT)
        self._standard = _compile(sheet.standard, places)
        self._by_service_tier: dict[str | None, _Table] = {
            tier: _compile(bands, places) for tier, bands in sheet.by_service_tier.items()
        }

    def cost(self, usage: Usage) -> Decimal:
        """The exact price of these counters, not rounded."""
        return Decimal(self._units(usage)).scaleb(self._exponent, context=EXACT)

    def nano(self, usage: Usage) -> int:
        """The price of these counters in nano-units, rounded once, half to even."""
        nano, rest = divmod(self._units(usage), self._units_per_nano)
        beyond_half = 2 * rest - self._units_per_nano
        if beyond_half > 0 or (beyond_half == 0 and nano % 2):
            nano += 1
        return nano

    def _units(self, usage: Usage) -> int:
        """The price in units of 10 ** exponent.

        Counters that contradict each other (more cached tokens than prompt) never lower the price of others.
        """
        table = self._by_service_tier.get(usage.service_tier, self._standard)
        prompt = usage.prompt_tokens
        row = table.first
        for above, step in table.steps:
            if prompt <= above:
                break
            row = step
        (
            each_input,
            each_read,
            each_write,
            each_write_1h,
            each_audio,
            each_output,
            each_reasoning,
            each_audio_output,
            each_web_search,
            each_file_search,
        ) = row
        read, write, write_1h = usage.cache_read_tokens, usage.cache_write_tokens, usage.cache_write_1h_tokens
        audio, audio_output = usage.audio_prompt_tokens, usage.audio_response_tokens
        reasoning = usage.reasoning_tokens
        units = (
            read * each_read
            + write_1h * each_write_1h
            + audio * each_audio
            + reasoning * each_reasoning
            + audio_output * each_audio_output
            + usage.web_searches * each_web_search
            + usage.file_searches * each_file_search
        )
        if (plain := prompt - read - write - audio) > 0:
            units += plain * each_input
        if (short := write - write_1h) > 0:
            units += short * each_write
        if (said := usage.response_tokens - reasoning - audio_output) > 0:
            units += said * each_output
        return units


def _compile(bands: Sequence[Band], places: int) -> _Table:
    rows = [(band.above, _as_integers(band.prices, places)) for band in bands]
    return _Table(rows[0][1], tuple(rows[1:]))


def _as_integers(prices: Prices, places: int) -> tuple[int, ...]:
    return tuple(int(price.scaleb(places, context=EXACT)) for price in prices.in_counting_order())


def _decimal_places(prices: Prices) -> int:
    exponents = (int(price.as_tuple().exponent) for price in prices.in_counting_order())
    return max(0, *(-exponent for exponent in exponents))


def _first(price: Decimal | None, otherwise: Decimal) -> Decimal:
    return otherwise if price is None else price
