"""The price table that plugins read from."""

from __future__ import annotations

import asyncio

from weir_core.clock import Clock
from weir_core.objects import ModelPrice
from weir_core.prices import PriceTable
from weir_core.snapshot import Snapshot


class PricesInForce:
    """The price table of a snapshot, made when a plugin first asks for a price.

    Reading the published prices takes the better part of a second, so it happens in a thread.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rows: tuple[ModelPrice, ...] = ()
        self._table: PriceTable | None = None

    async def of(self, snapshot: Snapshot) -> PriceTable:
        """The table; the same one as long as the admin's rows stay the same."""
        if self._table is None or self._rows != snapshot.model_prices:
            rows = snapshot.model_prices
            self._table = await asyncio.to_thread(PriceTable, rows, clock=self._clock)
            self._rows = rows
        return self._table
