"""What a call costs: the admin's own prices on top of the published ones."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from fnmatch import translate
from typing import Final

import msgspec

from weir_core.catalogue import CATALOGUE_CURRENCY, Catalogue
from weir_core.clock import Clock, SystemClock
from weir_core.errors import InvalidInputError
from weir_core.money import parse_amount
from weir_core.objects import ModelPrice
from weir_core.rates import Band, Prices, PriceSheet, Rates

__all__ = ["PriceTable", "Rates"]

_FIELDS: Final = ("input", "output", "cache_read", "cache_write", "reasoning")
_GLOB: Final = re.compile(r"[*?\[]")

# Model names come from callers, so the number of compiled models must not be theirs to choose.
_COMPILED_LIMIT: Final = 4096


class _AdminPrice(msgspec.Struct, frozen=True):
    """One of the admin's rows, its amounts read and its pattern compiled."""

    row: ModelPrice
    pattern: re.Pattern[str] | None
    prices: dict[str, Decimal]

    @property
    def effective_from_us(self) -> int:
        return self.row.effective_from_us or 0

    @property
    def precedence(self) -> tuple[bool, int, int, int]:
        """Exact names go before patterns, longer patterns before shorter, later rows before earlier."""
        return self.pattern is None, len(self.row.model), self.effective_from_us, self.row.id

    def matches(self, model: str) -> bool:
        if self.pattern is None:
            return self.row.model.lower() == model
        return self.pattern.match(model) is not None


class _Compiled(msgspec.Struct, frozen=True):
    rates: Rates | None
    since_us: int
    until_us: float


class PriceTable:
    """The prices in force, compiled once for each model that is asked for.

    Args:
        admin_rows: The admin's prices. A field that a row leaves out keeps its published price.
        currency: The ledger's currency. The published prices count only where it is US dollars.
        catalogue: The published prices; by default those that are installed.
        clock: Decides which dated prices are in force.

    Raises:
        InvalidInputError: A row has an amount that is none, or another currency than the ledger.
    """

    def __init__(
        self,
        admin_rows: Sequence[ModelPrice] = (),
        currency: str = CATALOGUE_CURRENCY,
        catalogue: Catalogue | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._admin = [_read_row(row, currency) for row in admin_rows]
        self._catalogue = catalogue or Catalogue.bundled()
        self._uses_catalogue = currency == CATALOGUE_CURRENCY
        self._clock = clock or SystemClock()
        self._compiled: dict[tuple[str, str], _Compiled] = {}
        self.currency = currency
        self.version = _version(self._catalogue, admin_rows)

    def rates(self, vendor: str, model: str, at_us: int | None = None) -> Rates | None:
        """What this model's calls cost, None when its price is unknown.

        A price is known when there is one for input tokens, the admin's or the published one.

        Args:
            vendor: The vendor's name, as in an LLM's configuration.
            model: The model's name; its case does not matter.
            at_us: The moment whose prices are asked for, now by default.
        """
        at = self._clock.wall_us() if at_us is None else at_us
        compiled = self._compiled.get((vendor, model))
        if (
            compiled is None
            or at < compiled.since_us
            or (compiled.until_us is not None and at >= compiled.until_us)
        ):
            compiled = self._compile(vendor, model.lower(), at)
            if len(self._compiled) >= _COMPILED_LIMIT:
                self._compiled.clear()
            self._compiled[vendor, model] = compiled
        return compiled.rates

    def _compile(self, vendor: str, model: str, at: int) -> _Compiled:
        rows = [price for price in self._admin if price.row.vendor == vendor and price.matches(model)]
        listed = self._catalogue.sheet(vendor, model, at) if self._uses_catalogue else None
        in_force = [price for price in rows if price.effective_from_us <= at]
        sheet = _overlay(listed, max(in_force, key=lambda price: price.precedence)) if in_force else listed
        changes = [price.effective_from_us for price in rows if price.effective_from_us > at]
        if listed is not None and listed.changes_at_us is not None:
            changes.append(listed.changes_at_us)
        return _Compiled(Rates(sheet) if sheet is not None else None, at, min(changes, default=math.inf))


def _read_row(row: ModelPrice, currency: str) -> _AdminPrice:
    if row.currency != currency:
        raise InvalidInputError(
            f"the price of {row.vendor} {row.model} is in {row.currency}, but costs are kept in {currency}; "
            f"give it in {currency}",
            field="currency",
        )
    prices = {}
    for field in _FIELDS:
        text: str | None = getattr(row, field)
        if text is not None:
            prices[field] = _read_amount(text, field)
    # A row has one price for writing to the cache, however long the entry is kept.
    if "cache_write" in prices:
        prices["cache_write_1h"] = prices["cache_write"]
    pattern = re.compile(translate(row.model.lower())) if _GLOB.search(row.model) else None
    return _AdminPrice(row, pattern, prices)


def _read_amount(text: str, field: str) -> Decimal:
    try:
        return parse_amount(text)
    except InvalidInputError as error:
        raise InvalidInputError(str(error), field=field) from error


def _overlay(listed: PriceSheet | None, admin: _AdminPrice) -> PriceSheet | None:
    """Put the admin's prices in the place of the listed ones, whatever prompt length or service tier."""
    if listed is None:
        if "input" not in admin.prices:
            return None
        return PriceSheet(standard=(Band(0, msgspec.convert(admin.prices, Prices)),))
    return PriceSheet(
        standard=_overlay_bands(listed.standard, admin),
        by_service_tier={
            tier: _overlay_bands(bands, admin) for tier, bands in listed.by_service_tier.items()
        },
    )


def _overlay_bands(bands: Iterable[Band], admin: _AdminPrice) -> tuple[Band, ...]:
    return tuple(Band(band.above, msgspec.structs.replace(band.prices, **admin.prices)) for band in bands)


def _version(catalogue: Catalogue, rows: Sequence[ModelPrice]) -> str:
    """Name the prices in force: the published data's version, and a digest of the admin's rows if any."""
    if not rows:
        return catalogue.version
    ordered = sorted(rows, key=lambda row: row.id)
    return f"{catalogue.version}+{hashlib.sha256(msgspec.json.encode(ordered)).hexdigest()[:12]}"
