"""The UTC day of an event's own time, by which sinks divide what they keep."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from weir_core.clock import parse_rfc3339, rfc3339
from weir_sdk import Event

_DAY: Final = len("2026-01-31")
_DAY_US: Final = 86_400_000_000


def day_of(event: Event) -> str:
    """The day, as ``2026-01-31``.

    Raises:
        ValueError: The event's time is no time of RFC 3339.
    """
    return _day(parse_rfc3339(event.timestamp) // _DAY_US)


# Nearly all events of a batch are of the same day.
@lru_cache(maxsize=16)
def _day(number: int) -> str:
    return rfc3339(number * _DAY_US)[:_DAY]
