"""The UTC day of an event's own time, by which sinks divide what they keep."""

from __future__ import annotations

from typing import Final

from weir_core.clock import parse_rfc3339, rfc3339
from weir_sdk import Event

_DAY: Final = len("2026-01-31")


def day_of(event: Event) -> str:
    """The day, as ``2026-01-31``.

    Raises:
        ValueError: The event's time is no time of RFC 3339.
    """
    return rfc3339(parse_rfc3339(event.timestamp))[:_DAY]
