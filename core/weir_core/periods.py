"""Budget periods: the stretches of time that spending is added up over."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import NamedTuple


class Period(NamedTuple):
    """``id`` names it; ``start`` is its first moment and ``end`` the next period's, RFC 3339 in UTC."""

    id: str
    start: str
    end: str


def month_at(wall_us: int) -> Period:
    """The calendar month, in UTC, of a moment in microseconds since the epoch."""
    moment = time.gmtime(wall_us // 1_000_000)
    return _month(moment.tm_year, moment.tm_mon)


@lru_cache(maxsize=4)
def _month(year: int, month: int) -> Period:
    this = f"{year:04d}-{month:02d}"
    following = f"{year + month // 12:04d}-{month % 12 + 1:02d}"
    return Period(this, f"{this}-01T00:00:00.000000Z", f"{following}-01T00:00:00.000000Z")
