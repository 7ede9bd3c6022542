"""A lag as a metric."""

from __future__ import annotations

import math


def lag_shown(lag: int | None) -> float:
    """Return it, or NaN while it is not known: 0 would say that nothing waits."""
    return math.nan if lag is None else lag
