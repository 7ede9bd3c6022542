"""Time as a parameter, so that a test can hold it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What Weir asks of time."""

    def wall_us(self) -> int:
        """Microseconds since the Unix epoch; may jump."""
        ...

    def monotonic(self) -> float:
        """Seconds that only ever grow; for durations and deadlines."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def wall_us(self) -> int:
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        return time.monotonic()


def rfc3339(wall_us: int) -> str:
    """Format microseconds since the epoch as RFC 3339 in UTC with six fractional digits."""
    seconds, micros = divmod(wall_us, 1_000_000)
    broken_down = time.gmtime(seconds)
    return (
        f"{broken_down.tm_year:04d}-{broken_down.tm_mon:02d}-{broken_down.tm_mday:02d}T"
        f"{broken_down.tm_hour:02d}:{broken_down.tm_min:02d}:{broken_down.tm_sec:02d}.{micros:06d}Z"
    )


def parse_rfc3339(text: str) -> int:
    """Return microseconds since the epoch.

    Raises:
        ValueError: The text is not RFC 3339 or has no offset.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone; write it as 2026-01-31T12:00:00Z")
    delta = moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds
